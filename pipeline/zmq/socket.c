#include <speckled/zmq_socket.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { KEY_LENGTH = 40 };

static spk_status read_secret(const char *path, char key[KEY_LENGTH + 1], struct spk_error *error)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return spk_fail(error, SPK_IO, "cannot read the CURVE key file %s: %s", path, strerror(errno));
    size_t length = fread(key, 1, KEY_LENGTH, file);
    int next = fgetc(file);
    fclose(file);
    key[length] = 0;
    if (length != KEY_LENGTH || strcspn(key, " \t\r\n") != KEY_LENGTH ||
        (next != EOF && next != '\n' && next != '\r'))
        return spk_fail(error, SPK_INVALID,
                        "%s does not hold one CURVE key: 40 characters of Z85 were expected", path);
    return SPK_OK;
}

/* The keys as libzmq takes them: Z85 text. */
struct keys {
    char secret[KEY_LENGTH + 1], public[KEY_LENGTH + 1];
};

static spk_status read_keys(const struct spk_zmq_curve *curve, struct keys *keys, struct spk_error *error)
{
    uint8_t binary[KEY_LENGTH * 4 / 5];
    if (!zmq_has("curve"))
        return spk_fail(error, SPK_UNSUPPORTED, "this libzmq has no CURVE: install one built with libsodium");
    spk_status status = read_secret(curve->secret_file, keys->secret, error);
    if (status != SPK_OK)
        return status;
    if (zmq_curve_public(keys->public, keys->secret) != 0)
        return spk_fail(error, SPK_INVALID, "%s holds no valid CURVE key", curve->secret_file);
    bool valid = strlen(curve->server_key) == KEY_LENGTH && zmq_z85_decode(binary, curve->server_key);
    if (curve->server_key[0] && !valid)
        return spk_fail(error, SPK_INVALID, "curve_server_key: 40 characters of Z85 were expected");
    return SPK_OK;
}

static spk_status set_key(void *socket, int option, const char *key, const char *what,
                          struct spk_error *error)
{
    if (zmq_setsockopt(socket, option, key, KEY_LENGTH + 1) == 0)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID,
                    "the %s CURVE key is not accepted: 40 characters of Z85 were expected", what);
}

/* True when `curve` asks for encryption; a server's key alone is a mistake. */
static bool is_wanted(const struct spk_zmq_curve *curve, struct spk_error *error)
{
    if (!curve->secret_file[0] && curve->server_key[0])
        spk_fail(error, SPK_INVALID, "curve_server_key needs curve_secret_file: a client has a key too");
    return curve->secret_file[0];
}

spk_status spk_zmq_set(void *socket, int option, int value, struct spk_error *error)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) == 0)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "ZeroMQ option %d = %d: %s", option, value,
                    zmq_strerror(zmq_errno()));
}

static spk_status apply_curve(void *socket, const struct spk_zmq_curve *curve, struct spk_error *error)
{
    struct keys keys = {0};
    struct spk_error why = {0};
    spk_status status;
    if (!is_wanted(curve, &why))
        return why.status ? spk_fail(error, why.status, "%s", why.text) : SPK_OK;
    if ((status = read_keys(curve, &keys, error)) != SPK_OK ||
        (status = set_key(socket, ZMQ_CURVE_SECRETKEY, keys.secret, "secret", error)) != SPK_OK ||
        (status = set_key(socket, ZMQ_CURVE_PUBLICKEY, keys.public, "public", error)) != SPK_OK)
        return status;
    if (!curve->server_key[0])
        return spk_zmq_set(socket, ZMQ_CURVE_SERVER, 1, error);
    return set_key(socket, ZMQ_CURVE_SERVERKEY, curve->server_key, "server's", error);
}

spk_status spk_zmq_prepare(void *socket, int linger_ms, const struct spk_zmq_curve *curve,
                           struct spk_error *error)
{
    enum { IDLE_S = 30, INTERVAL_S = 5, PROBES = 6 };
    const struct {
        int option, value;
    } setting[] = {{ZMQ_LINGER, linger_ms},
                   {ZMQ_IPV6, 1},
                   {ZMQ_TCP_KEEPALIVE, 1},
                   {ZMQ_TCP_KEEPALIVE_IDLE, IDLE_S},
                   {ZMQ_TCP_KEEPALIVE_INTVL, INTERVAL_S},
                   {ZMQ_TCP_KEEPALIVE_CNT, PROBES}};
    spk_status status = SPK_OK;
    for (size_t i = 0; i < sizeof setting / sizeof *setting && !status; i++)
        status = spk_zmq_set(socket, setting[i].option, setting[i].value, error);
    return status ? status : apply_curve(socket, curve, error);
}

#define FORM "an endpoint looks like tcp://127.0.0.1:5555 or ipc:///run/name"
#define NO_ENDPOINT "endpoints: at least one is needed; " FORM

static const char *remedy(int code)
{
    switch (code) {
    case EADDRINUSE:
        return "; another process uses it: choose another port or stop that process";
    case EADDRNOTAVAIL:
    case ENODEV:
        return "; no interface of this machine has that address";
    case EINVAL:
    case EPROTONOSUPPORT:
        return "; " FORM;
    case EACCES:
        return "; this user may not use that port or path";
    default:
        return "";
    }
}

spk_status spk_zmq_attach(void *socket, const char *endpoint, bool bind, struct spk_error *error)
{
    if ((bind ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint)) == 0)
        return SPK_OK;
    int code = zmq_errno();
    return spk_fail(error, code == EINVAL ? SPK_INVALID : SPK_IO, "cannot %s %s: %s%s",
                    bind ? "bind" : "connect to", endpoint, zmq_strerror(code), remedy(code));
}

spk_status spk_zmq_attach_all(void *socket, const struct spk_strings *endpoints, bool bind,
                              struct spk_error *error)
{
    spk_status status = SPK_OK;
    if (endpoints->count == 0)
        return spk_fail(error, SPK_INVALID, NO_ENDPOINT);
    for (size_t i = 0; i < endpoints->count && !status; i++)
        status = spk_zmq_attach(socket, endpoints->value[i], bind, error);
    return status;
}

/* A port is a number, or, to bind any free one, an asterisk. */
static bool is_port(const char *text)
{
    char *end;
    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    return strcmp(text, "*") == 0 || (isdigit((unsigned char)*text) && !*end && !errno && port <= UINT16_MAX);
}

static spk_status check_endpoint(const char *endpoint, struct spk_error *error)
{
    static const char *const others[] = {"ipc", "inproc", "ws", "wss", "tipc", "vmci", "norm", "pgm", "epgm"};
    const char *address = strstr(endpoint, "://");
    size_t length = address ? (size_t)(address - endpoint) : 0;
    bool tcp = length == 3 && strncmp(endpoint, "tcp", length) == 0, known = tcp;
    for (size_t i = 0; i < sizeof others / sizeof *others && !known && address; i++)
        known = strlen(others[i]) == length && strncmp(endpoint, others[i], length) == 0;
    if (!known || !address[3])
        return spk_fail(error, SPK_INVALID, "\"%s\" is no endpoint; " FORM, endpoint);
    const char *port = strrchr(address + 3, ':');
    if (tcp && (!port || port == address + 3 || !is_port(port + 1)))
        return spk_fail(error, SPK_INVALID, "\"%s\" has no host and port; " FORM, endpoint);
    return SPK_OK;
}

static void check_curve(const struct spk_check *check, const struct spk_zmq_curve *curve)
{
    struct keys keys = {0};
    struct spk_error error = {0};
    if (is_wanted(curve, &error))
        read_keys(curve, &keys, &error);
    spk_check_error(check, *curve->secret_file ? "curve_secret_file" : "curve_server_key", &error);
}

void spk_zmq_check(const struct spk_check *check, const struct spk_strings *endpoints,
                   const struct spk_zmq_curve *curve)
{
    struct spk_error error = {0};
    if (endpoints->count == 0)
        spk_check_problem(check, "endpoints", SPK_INVALID, NO_ENDPOINT);
    for (size_t i = 0; i < endpoints->count; i++) {
        check_endpoint(endpoints->value[i], &error);
        spk_check_error(check, "endpoints", &error);
    }
    check_curve(check, curve);
}

void spk_zmq_check_endpoint(const struct spk_check *check, const char *endpoint,
                            const struct spk_zmq_curve *curve)
{
    struct spk_error error = {0};
    check_endpoint(endpoint, &error);
    spk_check_error(check, "endpoint", &error);
    check_curve(check, curve);
}
