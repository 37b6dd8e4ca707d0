/* From the values of PVs to the role and place of a frame. */
#include "context.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Splits "VALUE=role" at its last "=". */
static bool split(const char *entry, char value[SPK_STRING_SIZE], enum spk_role *role)
{
    const char *equals = strrchr(entry, '=');
    if (!equals || equals == entry || spk_role_parse(equals + 1, role) || *role == SPK_ROLE_AUTO)
        return false;
    snprintf(value, SPK_STRING_SIZE, "%.*s", (int)(equals - entry), entry);
    return true;
}

spk_status spk_context_check(const struct spk_context_config *config, struct spk_error *error)
{
    if (!*config->role_pv && !*config->position_pv && !*config->stack_pv)
        return spk_fail(error, SPK_INVALID, "set at least one of role_pv, position_pv and stack_pv");
    for (size_t i = 0; i < config->roles.count; i++) {
        char value[SPK_STRING_SIZE];
        enum spk_role role;
        if (!split(config->roles.value[i], value, &role))
            return spk_fail(error, SPK_INVALID,
                            "roles: \"%s\" is not VALUE=ROLE with ROLE dark, flat, reference or sample",
                            config->roles.value[i]);
    }
    return SPK_OK;
}

static bool number(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool same_value(const char *a, const char *b)
{
    double x, y;
    if (number(a, &x) && number(b, &y))
        return x == y;
    return strcasecmp(a, b) == 0;
}

enum spk_role spk_context_role(const struct spk_context_config *config, const char *value)
{
    enum spk_role role;
    for (size_t i = 0; i < config->roles.count; i++) {
        char wanted[SPK_STRING_SIZE];
        if (split(config->roles.value[i], wanted, &role) && same_value(value, wanted))
            return role;
    }
    for (int i = SPK_ROLE_SAMPLE; i < SPK_ROLE_COUNT && !config->roles.count; i++)
        if (strcasecmp(value, spk_role_name((enum spk_role)i)) == 0)
            return (enum spk_role)i;
    return SPK_ROLE_COUNT;
}

int64_t spk_context_index(double value)
{
    double whole = round(value);
    if (!(fabs(value - whole) <= 0.01) || whole < 0 || whole > 0x1p53)
        return SPK_CONTEXT_NOWHERE;
    return (int64_t)whole;
}

void spk_context_now(const struct spk_context *context, enum spk_role *role, int64_t *position,
                     int64_t *stack)
{
    bool sound = context->role != SPK_ROLE_COUNT && context->position != SPK_CONTEXT_NOWHERE &&
                 context->stack != SPK_CONTEXT_NOWHERE;
    for (int i = 0; i < SPK_CONTEXT_PVS; i++)
        sound = sound && (context->pv[i].known || !context->pv[i].configured);
    *role = context->role == SPK_ROLE_COUNT ? SPK_ROLE_AUTO : context->role;
    *position = sound ? context->position : SPK_CONTEXT_NOWHERE;
    *stack = sound ? context->stack : SPK_UNKNOWN;
}
