# The CUDA part: kernel files of all rooms become one loadable module, libspeckled_cuda.so.
#   speckled_kernels(a.cu ...)    a room's kernel files
#   speckled_cuda_module()        builds the module of them all; after every room
include_guard(GLOBAL)

set(SPECKLED_CUDA AUTO CACHE STRING "Build the CUDA module: ON, OFF, or AUTO (where nvcc is found)")
set_property(CACHE SPECKLED_CUDA PROPERTY STRINGS AUTO ON OFF)

function(speckled_kernels)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    set_property(GLOBAL APPEND PROPERTY SPECKLED_KERNELS ${ARGN})
endfunction()

# Real code for sm_80, sm_90 and every later generation this toolkit knows, and the newest one's intermediate code.
function(speckled_cuda_architectures nvcc result)
    execute_process(COMMAND ${nvcc} --list-gpu-arch OUTPUT_VARIABLE known OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REGEX MATCHALL "compute_[0-9]+" known "${known}")
    set(list 80-real 90-real)
    foreach(name IN LISTS known)
        string(REPLACE compute_ "" number ${name})
        if(number GREATER_EQUAL 100 AND number MATCHES "0$")
            list(APPEND list ${number}-real)
        endif()
    endforeach()
    list(POP_BACK list newest)
    string(REPLACE "-real" "" newest ${newest})
    set(${result} ${list} ${newest} PARENT_SCOPE)
endfunction()

function(speckled_cuda_off why)
    speckled_feature(cuda OFF "${why}")
    if(SPECKLED_CUDA STREQUAL "ON")
        message(FATAL_ERROR "SPECKLED_CUDA is ON, but ${why}")
    endif()
endfunction()

macro(speckled_cuda_module)
    find_program(SPECKLED_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
    if(NOT SPECKLED_CUDA)
        speckled_feature(cuda OFF "SPECKLED_CUDA is OFF")
    elseif(SPECKLED_STATIC OR SPECKLED_SANITIZE)
        speckled_cuda_off("the module is built for the plain, shared build only")
    elseif(NOT SPECKLED_NVCC)
        speckled_cuda_off("no nvcc: install the CUDA toolkit, or set CUDA_HOME")
    else()
        set(CMAKE_CUDA_COMPILER ${SPECKLED_NVCC})
        if(NOT CMAKE_CUDA_ARCHITECTURES)
            speckled_cuda_architectures(${SPECKLED_NVCC} CMAKE_CUDA_ARCHITECTURES)
        endif()
        enable_language(CUDA)
        speckled_cuda_target()
    endif()
endmacro()

function(speckled_cuda_target)
    get_property(kernels GLOBAL PROPERTY SPECKLED_KERNELS)
    find_package(CUDAToolkit REQUIRED)
    add_library(speckled_cuda MODULE ${kernels})
    set_target_properties(speckled_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
                          CUDA_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib/speckled)
    target_include_directories(speckled_cuda PRIVATE ${PROJECT_SOURCE_DIR}/pipeline)
    target_link_libraries(speckled_cuda PRIVATE speckled CUDA::cufft)
    # A kernel that spills registers waits for memory where it should compute; how many there are depends on the architecture and the
    # toolkit, so this is said, and no error.
    target_compile_options(speckled_cuda PRIVATE -Xcompiler=-Wall,-Wextra,-Wno-unused-function
                           $<IF:$<BOOL:${SPECKLED_WERROR}>,-Werror=all-warnings$<SEMICOLON>-Xcompiler=-Werror,-Xptxas=--warn-on-spills>)
    install(TARGETS speckled_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/speckled)
    string(REPLACE ";" " " shown "${CMAKE_CUDA_ARCHITECTURES}")
    speckled_feature(cuda ON "CUDA ${CUDAToolkit_VERSION}, architectures ${shown}")
endfunction()
