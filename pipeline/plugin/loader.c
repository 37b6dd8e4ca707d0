/* Finding and loading plugin modules. */
#include <speckled/plugin.h>

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, LOADED_MAX = 128 };

struct loaded {
    char name[SPK_STRING_SIZE];
    const struct spk_plugin *plugin;
};

static struct {
    pthread_mutex_t lock;
    struct loaded entry[LOADED_MAX];
    size_t count;
    const struct spk_plugin *(*const *built_in)(void);
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* <folder of libspeckled>/speckled/plugins: the same in the build tree and in an installation. */
static const char *own_directory(char path[PATH_SIZE])
{
    Dl_info self;
    if (!dladdr((void *)&registry, &self) || !self.dli_fname)
        return NULL;
    const char *slash = strrchr(self.dli_fname, '/');
    int folder = slash ? (int)(slash - self.dli_fname) : 1;
    snprintf(path, PATH_SIZE, "%.*s/speckled/plugins", folder, slash ? self.dli_fname : ".");
    return path;
}

/* Calls `visit` for each plugin directory until it returns true. */
static bool each_directory(bool (*visit)(const char *directory, void *context), void *context)
{
    char path[PATH_SIZE];
    const char *list = getenv("SPECKLED_PLUGIN_PATH");
    while (list && *list) {
        size_t size = strcspn(list, ":");
        if (size && size < PATH_SIZE) {
            snprintf(path, sizeof path, "%.*s", (int)size, list);
            if (visit(path, context))
                return true;
        }
        list += size + (list[size] == ':');
    }
    return own_directory(path) && visit(path, context);
}

struct search {
    const char *name;
    char path[PATH_SIZE + SPK_STRING_SIZE];
};

static bool find_file(const char *directory, void *context)
{
    struct search *search = context;
    snprintf(search->path, sizeof search->path, "%s/%s.so", directory, search->name);
    return access(search->path, R_OK) == 0;
}

static bool plain_name(const char *name)
{
    return *name && strlen(name) < SPK_STRING_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

void spk_plugin_register(const struct spk_plugin *(*const *entries)(void))
{
    registry.built_in = entries;
}

static const struct spk_plugin *find_built_in(const char *name)
{
    for (size_t i = 0; registry.built_in && registry.built_in[i]; i++)
        if (strcmp(registry.built_in[i]()->name, name) == 0)
            return registry.built_in[i]();
    return NULL;
}

static spk_status open_module(const char *name, const struct spk_plugin **plugin, struct spk_error *error)
{
    struct search search = {.name = name};
    if (!plain_name(name) || !each_directory(find_file, &search))
        return spk_fail(error, SPK_INVALID, "there is no plugin \"%s\"; `speckled plugins` lists them", name);
    void *module = dlopen(search.path, RTLD_NOW | RTLD_LOCAL);
    if (!module)
        return spk_fail(error, SPK_UNSUPPORTED, "plugin %s does not load: %s", name, dlerror());
    const struct spk_plugin *(*entry)(void);
    void *symbol = dlsym(module, "spk_plugin_entry");
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry) {
        dlclose(module);
        return spk_fail(error, SPK_INVALID, "%s has no spk_plugin_entry", search.path);
    }
    const struct spk_plugin *found = entry();
    spk_status status = spk_plugin_check(found, error);
    if (status) {
        dlclose(module);
        return spk_fail_context(error, "%s", search.path);
    }
    if (strcmp(found->name, name) != 0) {
        spk_status mismatch =
            spk_fail(error, SPK_INVALID, "%s calls itself \"%s\"", search.path, found->name);
        dlclose(module);
        return mismatch;
    }
    *plugin = found;
    return SPK_OK;
}

spk_status spk_plugin_load(const char *name, const struct spk_plugin **plugin, struct spk_error *error)
{
    spk_status status = SPK_OK;
    pthread_mutex_lock(&registry.lock);
    for (size_t i = 0; i < registry.count; i++) {
        if (strcmp(registry.entry[i].name, name) == 0) {
            *plugin = registry.entry[i].plugin;
            goto done;
        }
    }
    if (registry.count == LOADED_MAX) {
        status = spk_fail(error, SPK_NOMEM, "more than %d plugins", LOADED_MAX);
        goto done;
    }
    *plugin = find_built_in(name);
    status = *plugin ? spk_plugin_check(*plugin, error) : open_module(name, plugin, error);
    if (!status) {
        struct loaded *entry = &registry.entry[registry.count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->plugin = *plugin;
    }
done:
    pthread_mutex_unlock(&registry.lock);
    return status;
}

struct listing {
    char (*names)[SPK_STRING_SIZE];
    size_t count, capacity;
};

static void list_name(struct listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->names[i], name) == 0)
            return;
    if (listing->count < listing->capacity && plain_name(name))
        snprintf(listing->names[listing->count++], SPK_STRING_SIZE, "%s", name);
}

static bool list_directory(const char *directory, void *context)
{
    struct listing *listing = context;
    DIR *folder = opendir(directory);
    if (!folder)
        return false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || length - 3 >= SPK_STRING_SIZE || strcmp(entry->d_name + length - 3, ".so") != 0)
            continue;
        char name[SPK_STRING_SIZE];
        memcpy(name, entry->d_name, length - 3);
        name[length - 3] = '\0';
        list_name(listing, name);
    }
    closedir(folder);
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t spk_plugin_list(char (*names)[SPK_STRING_SIZE], size_t capacity)
{
    struct listing listing = {.names = names, .capacity = capacity};
    for (size_t i = 0; registry.built_in && registry.built_in[i]; i++)
        list_name(&listing, registry.built_in[i]()->name);
    each_directory(list_directory, &listing);
    qsort(names, listing.count, sizeof *names, compare_names);
    return listing.count;
}
