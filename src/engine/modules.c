/* SPDX-License-Identifier: MIT */
/* See modules.h. */
#include "engine/modules.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/graph.h"
#include "engine/vet.h"

#define ANY_ROLE (-1)
#define BUILD_FOLDER "/modules"

struct module {
	struct module *next;
	void *handle;
	char file[];
};

struct entry {
	const struct module *module;
	const struct sl_stage *stage;
};

struct refusal {
	int role;   /* ANY_ROLE: not known */
	char *name; /* of the stage; of the file where that is not known */
	char *text;
};

/* Grows while modules_read runs, constant after. */
static struct {
	modules_find_fn *built_in;
	FILE *warnings;
	struct module *modules;
	struct entry *entries;
	unsigned entry_count;
	struct refusal *refusals;
	unsigned refusal_count;
} all;

/* --- one module ----------------------------------------------------------------------------------- */

/* What dlerror says, without the path that whoever shows it will say, too. */
static const char *loading_error(const char *file)
{
	const char *text = dlerror();
	size_t size = strlen(file);

	if (!text)
		return "it cannot be loaded";
	return strncmp(text, file, size) == 0 && strncmp(text + size, ": ", 2) == 0
		       ? text + size + 2
		       : text;
}

/* All its symbols are looked up now: a function that this sluice lacks is a message here, not a death later. */
static void *load(const char *file, struct err *err)
{
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	const char *text = handle ? NULL : loading_error(file);

	if (text)
		(void)err_set(err, -ENOEXEC, "%s%s", text,
			strstr(text, "undefined symbol: sl_")
				? ": this sluice is not the one whose headers it was built with"
				: "");
	return handle;
}

static const struct sl_stage *const *find_table(void *handle, struct err *err)
{
	const struct sl_stage *const *table = dlsym(handle, "sl_module");

	if (!table)
		(void)err_set(err, -ENOEXEC,
			"it has no `sl_module`: end it with SL_MODULE(&your_stage); or move it "
			"elsewhere");
	else if (!table[0])
		(void)err_set(err, -ENOEXEC, "its `sl_module` is empty");
	return table && table[0] ? table : NULL;
}

const struct sl_stage *modules_open(
	const char *file, enum sl_role role, const char *name, struct err *err)
{
	struct err why = { "it has no such stage any more" };
	void *handle = load(file, &why);
	const struct sl_stage *const *table = handle ? find_table(handle, &why) : NULL;

	for (; table && *table; table++) {
		struct err trouble;
		int r = vet_stage(*table, &trouble);

		if (r == 0 && (*table)->role == role && strcmp((*table)->name, name) == 0)
			return *table;
		if (r == -EPROTO)
			why = trouble;
	}
	(void)err_set(err, -ENOENT, "cannot take the stage \"%s\" from the module %s: %s", name,
		file, why.text);
	return NULL;
}

/* --- what there is -------------------------------------------------------------------------------- */

static void warn(const char *what, const char *text)
{
	(void)fprintf(all.warnings, "%s: warning: %s\n", what, text);
}

static void out_of_memory(void)
{
	warn(MODULES_PATH, "no memory to read all modules");
}

static const char *base_name(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? slash + 1 : file;
}

/* Said once as a warning, and kept for whoever asks for that very stage. */
static void refuse(const char *file, int role, const char *name, const char *reason)
{
	struct refusal refusal = { .role = role };
	struct refusal *grown =
		reallocarray(all.refusals, all.refusal_count + 1, sizeof(*all.refusals));

	(void)fprintf(all.warnings, "%s: warning: refused: %s\n", file, reason);
	if (!grown)
		return;
	all.refusals = grown;
	refusal.name = strdup(name ? name : base_name(file));
	if (!refusal.name || asprintf(&refusal.text, "%s is refused: %s", file, reason) < 0) {
		free(refusal.name);
		return;
	}
	all.refusals[all.refusal_count++] = refusal;
}

static const struct entry *find(enum sl_role role, const char *name)
{
	for (unsigned i = 0; i < all.entry_count; i++)
		if (all.entries[i].stage->role == role &&
			strcmp(all.entries[i].stage->name, name) == 0)
			return &all.entries[i];
	return NULL;
}

static void warn_taken(
	const char *file, const struct sl_stage *stage, const char *role, const struct entry *other)
{
	(void)fprintf(all.warnings,
		"%s: warning: its %s `%s` is not used: %s%s, and the first of a name is taken\n",
		file, role, stage->name,
		other ? "there is one in " : "there is a built-in one of that name",
		other ? other->module->file : "");
}

static void add_stage(const struct module *module, const struct sl_stage *stage)
{
	const struct entry *other = find(stage->role, stage->name);
	struct entry *grown;

	if (other || all.built_in(stage->role, stage->name)) {
		warn_taken(module->file, stage, graph_roles[stage->role], other);
		return;
	}
	grown = reallocarray(all.entries, all.entry_count + 1, sizeof(*all.entries));
	if (!grown) {
		out_of_memory();
		return;
	}
	all.entries = grown;
	all.entries[all.entry_count++] = (struct entry){ .module = module, .stage = stage };
}

/* Of several stages the good ones can be used. */
static void add_stages(const struct module *module, const struct sl_stage *const *table)
{
	for (; *table; table++) {
		const struct sl_stage *stage = *table;
		struct err err, why;
		int r = vet_stage(stage, &err);

		if (r == 0) {
			add_stage(module, stage);
		} else if (r == -EINVAL) {
			(void)err_set(&why, r, "stage `%s`: %s", stage->name, err.text);
			refuse(module->file, (int)stage->role, stage->name, why.text);
		} else {
			refuse(module->file, ANY_ROLE, NULL, err.text);
		}
		if (r == -EPROTO)
			return;
	}
}

/* The same file by two ways is one module. */
static bool is_known(const void *handle)
{
	for (const struct module *module = all.modules; module; module = module->next)
		if (module->handle == handle)
			return true;
	return false;
}

static void read_module(const char *file)
{
	const struct sl_stage *const *table;
	struct module *module;
	struct err err;
	size_t size;
	void *handle = load(file, &err);

	if (!handle) {
		refuse(file, ANY_ROLE, NULL, err.text);
		return;
	}
	if (is_known(handle))
		return;
	table = find_table(handle, &err);
	if (!table) {
		refuse(file, ANY_ROLE, NULL, err.text);
		return;
	}
	size = strlen(file) + 1;
	module = malloc(sizeof(*module) + size);
	if (!module) {
		out_of_memory();
		return;
	}
	*module = (struct module){ .next = all.modules, .handle = handle };
	memcpy(module->file, file, size);
	all.modules = module;
	add_stages(module, table);
}

/* --- the folders ---------------------------------------------------------------------------------- */

static int is_module(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 3 && strcmp(entry->d_name + size - 3, ".so") == 0;
}

/* By bytes: the order must not depend on who runs it. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Paths are made absolute: the graph tells them to processes that may stand elsewhere. */
static void read_folder(const char *folder, bool is_wanted)
{
	_cleanup_free_ char *absolute = realpath(folder, NULL);
	struct dirent **list = NULL;
	int count = absolute ? scandir(absolute, &list, is_module, by_name) : -1;

	if (count < 0 && is_wanted)
		(void)fprintf(all.warnings, "%s: warning: cannot read the folder %s: %s\n",
			MODULES_PATH, folder, err_name(errno));
	for (int i = 0; i < count; i++) {
		char *file;

		if (asprintf(&file, "%s/%s", absolute, list[i]->d_name) < 0) {
			out_of_memory();
		} else {
			read_module(file);
			free(file);
		}
		free(list[i]);
	}
	free(list);
}

/* A sluice-stage that was not installed has sluice's own modules beside itself. */
static void read_build_folder(void)
{
	char path[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - sizeof(BUILD_FOLDER));
	char *slash;

	if (size <= 0)
		return;
	path[size] = '\0';
	slash = strrchr(path, '/');
	memcpy(slash, BUILD_FOLDER, sizeof(BUILD_FOLDER));
	read_folder(path, false);
}

void modules_read(modules_find_fn *built_in, FILE *warnings)
{
	const char *value = getenv(MODULES_PATH);
	_cleanup_free_ char *path = strdup(value ? value : "");
	char *rest = path;
	const char *folder;

	all.built_in = built_in;
	all.warnings = warnings;
	/* An empty entry is a slip (":/opt"), not the working folder: nobody's code is run by accident. */
	while ((folder = strsep(&rest, ":")))
		if (*folder)
			read_folder(folder, true);
	read_build_folder();
	read_folder(SLUICE_STAGE_DIR, false);
}

/* --- asked ---------------------------------------------------------------------------------------- */

const struct sl_stage *modules_at(unsigned i)
{
	return i < all.entry_count ? all.entries[i].stage : NULL;
}

const char *modules_file(const struct sl_stage *stage)
{
	for (unsigned i = 0; i < all.entry_count; i++)
		if (all.entries[i].stage == stage)
			return all.entries[i].module->file;
	return NULL;
}

const char *modules_refusal(enum sl_role role, const char *name)
{
	for (unsigned i = 0; i < all.refusal_count; i++) {
		const struct refusal *refusal = &all.refusals[i];

		if (refusal->role == ANY_ROLE ? strstr(refusal->name, name) != NULL
					      : (enum sl_role)refusal->role == role &&
							strcmp(refusal->name, name) == 0)
			return refusal->text;
	}
	return NULL;
}
