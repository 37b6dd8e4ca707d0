/* A Channel Access client that keeps the context of frames up to date, on libca's own threads. */
#include "client.h"

#include <cadef.h>
#include <pthread.h>
#include <speckled/clock.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERVE_MS = 100, PATIENCE_S = 5 };

struct watched {
    struct client *client;
    int which;
    const char *name;
    chid channel;
    evid subscription;
};

struct client {
    const struct spk_host *host;
    struct spk_context_config config;
    struct ca_client_context *ca;
    struct watched pv[SPK_CONTEXT_PVS];
    pthread_mutex_t lock; /* of context: libca has a thread for each server */
    struct spk_context context;
    int64_t opened_ns;
    bool complained; /* [service] about PVs that were not found */
};

/* Hands the context on. Called with the lock held, so that it is handed on in order. */
static void hand_on(const struct client *client)
{
    enum spk_role role;
    int64_t position, stack;
    spk_context_now(&client->context, &role, &position, &stack);
    client->host->frame_context(client->host->context, role, position, stack);
}

static void on_connection(struct connection_handler_args event)
{
    struct watched *pv = ca_puser(event.chid);
    struct client *client = pv->client;
    if (event.op == CA_OP_CONN_UP) {
        char host[128];
        ca_get_host_name(event.chid, host, sizeof host);
        spk_log(SPK_LOG_INFO, "epics", "%s connected at %s", pv->name, host);
        return;
    }
    spk_log(SPK_LOG_WARNING, "epics", "%s disconnected: frames are rejected until it is back", pv->name);
    pthread_mutex_lock(&client->lock);
    client->context.pv[pv->which].known = false;
    hand_on(client);
    pthread_mutex_unlock(&client->lock);
}

static void log_nonsense(const struct watched *pv, const char *value)
{
    static struct spk_log_limit limit;
    char expected[64] = "a whole number from 0";
    if (pv->which == SPK_CONTEXT_ROLE)
        snprintf(expected, sizeof expected, "a value that `roles` has");
    else if (pv->which == SPK_CONTEXT_POSITION)
        snprintf(expected, sizeof expected, "a whole number from %lld (first_position)",
                 (long long)pv->client->config.first_position);
    spk_log_limited(&limit, SPK_LOG_WARNING, "epics", "%s = %s is not %s: frames are rejected", pv->name,
                    value, expected);
}

static void take_role(struct client *client, const struct watched *pv, const char *value)
{
    client->context.role = spk_context_role(&client->config, value);
    if (client->context.role == SPK_ROLE_COUNT)
        log_nonsense(pv, value);
}

static void take_index(struct client *client, const struct watched *pv, double value, const char *text)
{
    double first = pv->which == SPK_CONTEXT_POSITION ? (double)client->config.first_position : 0;
    int64_t index = spk_context_index(value - first);
    if (index == SPK_CONTEXT_NOWHERE)
        log_nonsense(pv, text);
    if (pv->which == SPK_CONTEXT_POSITION)
        client->context.position = index;
    else
        client->context.stack = index;
}

static void on_value(struct event_handler_args event)
{
    struct watched *pv = event.usr;
    struct client *client = pv->client;
    if (event.status != ECA_NORMAL || !event.dbr)
        return;
    char value[sizeof(dbr_string_t) + 1];
    pthread_mutex_lock(&client->lock);
    if (pv->which == SPK_CONTEXT_ROLE) {
        snprintf(value, sizeof value, "%.*s", (int)sizeof(dbr_string_t), (const char *)event.dbr);
        take_role(client, pv, value);
    } else {
        snprintf(value, sizeof value, "%g", *(const dbr_double_t *)event.dbr);
        take_index(client, pv, *(const dbr_double_t *)event.dbr, value);
    }
    client->context.pv[pv->which].known = true;
    hand_on(client);
    spk_log(SPK_LOG_DEBUG, "epics", "%s is %s", pv->name, value);
    pthread_mutex_unlock(&client->lock);
}

static spk_status watch(struct client *client, int which, const char *name, struct spk_error *error)
{
    struct watched *pv = &client->pv[which];
    if (!*name)
        return SPK_OK;
    *pv = (struct watched){.client = client, .which = which, .name = name};
    client->context.pv[which].configured = true;
    int status = ca_create_channel(name, on_connection, pv, CA_PRIORITY_DEFAULT, &pv->channel);
    if (status == ECA_NORMAL)
        status = ca_create_subscription(which == SPK_CONTEXT_ROLE ? DBR_STRING : DBR_DOUBLE, 1, pv->channel,
                                        DBE_VALUE, on_value, pv, &pv->subscription);
    if (status != ECA_NORMAL)
        return spk_fail(error, SPK_INVALID, "cannot watch \"%s\": %s", name, ca_message(status));
    return SPK_OK;
}

/* Disconnections have a line of their own already. */
static void on_exception(struct exception_handler_args event)
{
    if (event.stat != ECA_DISCONN)
        spk_log(SPK_LOG_WARNING, "epics", "Channel Access: %s (%s)", ca_message(event.stat),
                event.ctx ? event.ctx : "no context");
}

static spk_status watch_all(struct client *client, struct spk_error *error)
{
    const struct spk_context_config *config = &client->config;
    spk_status status = watch(client, SPK_CONTEXT_ROLE, config->role_pv, error);
    if (!status)
        status = watch(client, SPK_CONTEXT_POSITION, config->position_pv, error);
    if (!status)
        status = watch(client, SPK_CONTEXT_STACK, config->stack_pv, error);
    ca_flush_io();
    return status;
}

/* The calling thread is left as it was found: it may have a context of its own. */
static spk_status connect_all(struct client *client, struct spk_error *error)
{
    struct ca_client_context *other = ca_current_context();
    spk_status status = SPK_OK;
    if (other)
        ca_detach_context();
    int created = ca_context_create(ca_enable_preemptive_callback);
    if (created != ECA_NORMAL) {
        status = spk_fail(error, SPK_NOMEM, "Channel Access does not start: %s", ca_message(created));
    } else {
        client->ca = ca_current_context();
        ca_add_exception_event(on_exception, NULL);
        status = watch_all(client, error);
        ca_detach_context();
    }
    if (other)
        ca_attach_context(other);
    return status;
}

static void client_close(void **self)
{
    struct client *client = *self;
    *self = NULL;
    if (!client)
        return;
    struct ca_client_context *other = ca_current_context();
    if (other)
        ca_detach_context();
    if (client->ca && ca_attach_context(client->ca) == ECA_NORMAL) {
        for (int i = 0; i < SPK_CONTEXT_PVS; i++)
            if (client->pv[i].channel)
                ca_clear_channel(client->pv[i].channel);
        ca_context_destroy(); /* ends its threads: no callback comes after this */
    }
    if (other)
        ca_attach_context(other);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

static spk_status client_open(const struct spk_host *host, const struct spk_context_config *config,
                              void **self, struct spk_error *error)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return spk_fail(error, SPK_NOMEM, "no memory for the EPICS client");
    pthread_mutex_init(&client->lock, NULL);
    client->host = host;
    client->config = *config;
    client->context.position = client->context.stack = SPK_UNKNOWN;
    client->opened_ns = spk_clock_monotonic_ns();
    if (*config->addresses) {
        setenv("EPICS_CA_ADDR_LIST", config->addresses, 1);
        setenv("EPICS_CA_AUTO_ADDR_LIST", "NO", 1);
    }
    pthread_mutex_lock(&client->lock);
    spk_status status = connect_all(client, error);
    hand_on(client); /* a value that is here already waits for the lock and comes after */
    pthread_mutex_unlock(&client->lock);
    *self = client;
    if (status)
        client_close(self);
    return status;
}

static spk_status client_serve(void *self, struct spk_error *error)
{
    struct client *client = self;
    int64_t now = spk_clock_monotonic_ns();
    (void)error;
    if (!client->complained && now - client->opened_ns > PATIENCE_S * 1000000000LL) {
        client->complained = true;
        pthread_mutex_lock(&client->lock);
        for (int i = 0; i < SPK_CONTEXT_PVS; i++)
            if (client->context.pv[i].configured && !client->context.pv[i].known)
                spk_log(SPK_LOG_WARNING, "epics",
                        "%s is not there yet: frames are rejected; check its name and EPICS_CA_ADDR_LIST",
                        client->pv[i].name);
        pthread_mutex_unlock(&client->lock);
    }
    spk_clock_sleep_until(now + SERVE_MS * 1000000LL);
    return SPK_OK;
}

SPK_API const struct spk_context_client spk_context_client = {
    .abi = SPK_CONTEXT_CLIENT_ABI,
    .open = client_open,
    .serve = client_serve,
    .close = client_close,
};
