# What the plugins that need EPICS build with:
#   speckled_epics_module(name SOURCES a.c LINK EPICS::ioc)   a part that is loaded only after EPICS' surroundings are set
#   speckled_epics_files(name FILES a.template)               database files beside it, in the build tree and installed
include_guard(DIRECTORY)

set(SPECKLED_EPICS_DIRECTORY ${PROJECT_BINARY_DIR}/lib/speckled/epics)

function(speckled_epics_module name)
    cmake_parse_arguments(PARSE_ARGV 1 M "" "" "SOURCES;LINK")
    add_library(${name} MODULE ${M_SOURCES})
    target_link_libraries(${name} PRIVATE speckled_epics speckled ${M_LINK})
    # CMake leaves folders of its own tree out of the installed path, and build/venv is one.
    get_property(folders GLOBAL PROPERTY SPECKLED_EPICS_FOLDERS)
    list(REMOVE_DUPLICATES folders)
    set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${SPECKLED_EPICS_DIRECTORY}
                          INSTALL_RPATH "${CMAKE_INSTALL_RPATH};${folders}")
    install(TARGETS ${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/speckled/epics)
endfunction()

function(speckled_epics_files name)
    cmake_parse_arguments(PARSE_ARGV 1 F "" "" "FILES")
    set(copies "")
    foreach(file IN LISTS F_FILES)
        cmake_path(GET file FILENAME plain)
        add_custom_command(OUTPUT ${SPECKLED_EPICS_DIRECTORY}/${plain} DEPENDS ${file}
                           COMMAND ${CMAKE_COMMAND} -E copy ${file} ${SPECKLED_EPICS_DIRECTORY}/${plain} VERBATIM)
        list(APPEND copies ${SPECKLED_EPICS_DIRECTORY}/${plain})
    endforeach()
    add_custom_target(${name}_files ALL DEPENDS ${copies})
    install(FILES ${F_FILES} DESTINATION ${CMAKE_INSTALL_LIBDIR}/speckled/epics)
endfunction()
