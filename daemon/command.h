/* The commands of the program: `speckled NAME ...`, one file each.
 *
 * cmd_<name>.c defines `const struct command cmd_<name>`; the list in CMakeLists.txt brings it into the program. */
#ifndef SPECKLED_DAEMON_COMMAND_H
#define SPECKLED_DAEMON_COMMAND_H

/* What a command returns, and the program's exit code. */
enum { COMMAND_OK = 0, COMMAND_FAILURE = 1, COMMAND_USAGE = 2 };

struct command {
    const char *name;
    const char *summary;               /* one line of `speckled help` */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; understands --help */
};

#endif
