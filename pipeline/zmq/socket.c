#include <speckled/zmq_socket.h>

#include <errno.h>
#include <stdio.h>
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

static spk_status set_key(void *socket, int option, const char *key, const char *what,
                          struct spk_error *error)
{
    if (zmq_setsockopt(socket, option, key, KEY_LENGTH + 1) == 0)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID,
                    "the %s CURVE key is not accepted: 40 characters of Z85 were expected", what);
}

spk_status spk_zmq_curve_apply(void *socket, const struct spk_zmq_curve *curve, struct spk_error *error)
{
    char secret[KEY_LENGTH + 1] = "", public[KEY_LENGTH + 1] = "";
    spk_status status;
    if (!curve->secret_file[0]) {
        if (curve->server_key[0])
            return spk_fail(error, SPK_INVALID,
                            "curve_server_key needs curve_secret_file: a client has a key too");
        return SPK_OK;
    }
    if (!zmq_has("curve"))
        return spk_fail(error, SPK_UNSUPPORTED, "this libzmq has no CURVE: install one built with libsodium");
    if ((status = read_secret(curve->secret_file, secret, error)) != SPK_OK)
        return status;
    if (zmq_curve_public(public, secret) != 0)
        return spk_fail(error, SPK_INVALID, "%s holds no valid CURVE key", curve->secret_file);
    if ((status = set_key(socket, ZMQ_CURVE_SECRETKEY, secret, "secret", error)) != SPK_OK ||
        (status = set_key(socket, ZMQ_CURVE_PUBLICKEY, public, "public", error)) != SPK_OK)
        return status;
    if (!curve->server_key[0])
        return spk_zmq_set(socket, ZMQ_CURVE_SERVER, 1, error);
    if (strlen(curve->server_key) != KEY_LENGTH)
        return spk_fail(error, SPK_INVALID, "curve_server_key: 40 characters of Z85 were expected");
    return set_key(socket, ZMQ_CURVE_SERVERKEY, curve->server_key, "server's", error);
}

spk_status spk_zmq_set(void *socket, int option, int value, struct spk_error *error)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) == 0)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "ZeroMQ option %d = %d: %s", option, value,
                    zmq_strerror(zmq_errno()));
}

spk_status spk_zmq_keep_alive(void *socket, struct spk_error *error)
{
    enum { IDLE_S = 30, INTERVAL_S = 5, PROBES = 6 };
    spk_status status;
    if ((status = spk_zmq_set(socket, ZMQ_TCP_KEEPALIVE, 1, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_TCP_KEEPALIVE_IDLE, IDLE_S, error)) != SPK_OK ||
        (status = spk_zmq_set(socket, ZMQ_TCP_KEEPALIVE_INTVL, INTERVAL_S, error)) != SPK_OK)
        return status;
    return spk_zmq_set(socket, ZMQ_TCP_KEEPALIVE_CNT, PROBES, error);
}

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
        return "; an endpoint looks like tcp://127.0.0.1:5555 or ipc:///run/name";
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
