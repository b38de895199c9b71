/* A file system that shows a directory and refuses what shares, sticks and FUSE mounts refuse.
 *
 *     odd LOWER MOUNTPOINT [OPTION...]
 *
 * chown=ERRNO, chmod=ERRNO, utimens=ERRNO, symlink=ERRNO, truncate=ERRNO   these calls fail
 * directories                                 the calls above fail for directories only
 * ignore-chown, ignore-chmod                  these report success and change nothing
 * fold                                        names that differ in case alone are one
 * windows                                     names with : * ? " < > | \ or a dot or space at the end are refused
 * seconds=N                                   modification times are cut to N seconds
 *
 * Runs until it is unmounted. */
#define FUSE_USE_VERSION 35
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct {
    const char *lower;
    int chown, chmod, utimens, symlink, truncate;
    bool directories, ignore_chown, ignore_chmod, fold, windows;
    long seconds;
} odd;

static int number(const char *name) {
    static const struct { const char *name; int number; } known[] = {
        {"EPERM", EPERM}, {"EACCES", EACCES}, {"ENOSYS", ENOSYS}, {"EOPNOTSUPP", EOPNOTSUPP},
        {"EINVAL", EINVAL}, {"EIO", EIO},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].number;
    fprintf(stderr, "odd: no error %s\n", name);
    exit(2);
}

/* Replaces the last component of a lower path by the spelling that its directory has. */
static void fold_last(char *path) {
    char *slash = strrchr(path, '/');
    *slash = 0;
    DIR *directory = opendir(path);
    *slash = '/';
    if (!directory) return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcasecmp(entry->d_name, slash + 1) == 0) {
            strcpy(slash + 1, entry->d_name);
            break;
        }
    closedir(directory);
}

/* The path below. */
static int below(const char *path, char lower[PATH_MAX]) {
    int length = snprintf(lower, PATH_MAX, "%s", odd.lower);
    char copy[PATH_MAX], *rest = copy;
    if (length < 0 || strlen(path) >= sizeof copy - length) return -ENAMETOOLONG;
    strcpy(copy, path);
    for (char *part; (part = strsep(&rest, "/"));) {
        if (!*part) continue;
        char last = part[strlen(part) - 1];
        if (odd.windows && (strpbrk(part, ":*?\"<>|\\") || last == '.' || last == ' ')) return -EINVAL;
        strcat(lower, "/");
        strcat(lower, part);
        if (odd.fold) fold_last(lower);
    }
    return 0;
}

#define BELOW(path, lower) \
    char lower[PATH_MAX];  \
    do {                   \
        int wrong = below(path, lower); \
        if (wrong) return wrong;        \
    } while (0)
#define DONE(call) return (call) < 0 ? -errno : 0

/* What a user makes is the user's. */
static int owned(const char *lower) {
    struct fuse_context *caller = fuse_get_context();
    DONE(caller->uid ? lchown(lower, caller->uid, caller->gid) : 0);
}

static void *start(struct fuse_conn_info *connection, struct fuse_config *config) {
    (void)connection;
    config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
    return NULL;
}
static int get_attributes(const char *path, struct stat *stat, struct fuse_file_info *file) {
    if (file) DONE(fstat(file->fh, stat));
    BELOW(path, lower);
    DONE(lstat(lower, stat));
}
static int read_link(const char *path, char *target, size_t size) {
    BELOW(path, lower);
    ssize_t length = readlink(lower, target, size - 1);
    if (length < 0) return -errno;
    target[length] = 0;
    return 0;
}
static int list(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file,
                enum fuse_readdir_flags flags) {
    (void)offset, (void)file, (void)flags;
    BELOW(path, lower);
    DIR *directory = opendir(lower);
    if (!directory) return -errno;
    for (struct dirent *entry; (entry = readdir(directory));) fill(buffer, entry->d_name, NULL, 0, 0);
    closedir(directory);
    return 0;
}
static int make_directory(const char *path, mode_t mode) {
    BELOW(path, lower);
    if (mkdir(lower, mode) < 0) return -errno;
    return owned(lower);
}
static int remove_file(const char *path) { BELOW(path, lower); DONE(unlink(lower)); }
static int remove_directory(const char *path) { BELOW(path, lower); DONE(rmdir(lower)); }
static int make_link(const char *target, const char *path) {
    if (odd.symlink) return -odd.symlink;
    BELOW(path, lower);
    if (symlink(target, lower) < 0) return -errno;
    return owned(lower);
}
static int move(const char *from, const char *to, unsigned flags) {
    BELOW(from, old);
    BELOW(to, new);
    DONE(renameat2(AT_FDCWD, old, AT_FDCWD, new, flags));
}
/* What a call fails with that may be refused. */
static int refusal(int error, const char *lower) {
    struct stat stat;
    bool refused = !odd.directories || (lstat(lower, &stat) == 0 && S_ISDIR(stat.st_mode));
    return refused ? error : 0;
}
static int set_mode(const char *path, mode_t mode, struct fuse_file_info *file) {
    (void)file;
    BELOW(path, lower);
    if (refusal(odd.chmod, lower)) return -odd.chmod;
    if (odd.ignore_chmod) return 0;
    DONE(chmod(lower, mode));
}
static int set_owner(const char *path, uid_t user, gid_t group, struct fuse_file_info *file) {
    (void)file;
    BELOW(path, lower);
    if (refusal(odd.chown, lower)) return -odd.chown;
    if (odd.ignore_chown) return 0;
    DONE(lchown(lower, user, group));
}
static int set_times(const char *path, const struct timespec times[2], struct fuse_file_info *file) {
    (void)file;
    BELOW(path, lower);
    if (refusal(odd.utimens, lower)) return -odd.utimens;
    struct timespec cut[2] = {times[0], times[1]};
    if (odd.seconds)
        for (int i = 0; i < 2; i++) {
            if (cut[i].tv_nsec >= 0 && cut[i].tv_nsec < 1000000000) cut[i].tv_nsec = 0;
            cut[i].tv_sec -= ((cut[i].tv_sec % odd.seconds) + odd.seconds) % odd.seconds;
        }
    DONE(utimensat(AT_FDCWD, lower, cut, AT_SYMLINK_NOFOLLOW));
}
static int set_length(const char *path, off_t length, struct fuse_file_info *file) {
    if (odd.truncate) return -odd.truncate;
    if (file) DONE(ftruncate(file->fh, length));
    BELOW(path, lower);
    DONE(truncate(lower, length));
}
static int open_lower(const char *path, int flags, mode_t mode, struct fuse_file_info *file) {
    BELOW(path, lower);
    int descriptor = open(lower, flags & ~O_NOFOLLOW, mode);
    if (descriptor < 0) return -errno;
    file->fh = descriptor;
    return 0;
}
static int make_file(const char *path, mode_t mode, struct fuse_file_info *file) {
    int failed = open_lower(path, file->flags | O_CREAT, mode, file);
    if (failed) return failed;
    BELOW(path, lower);
    return owned(lower);
}
static int open_file(const char *path, struct fuse_file_info *file) { return open_lower(path, file->flags, 0, file); }
static int read_file(const char *path, char *bytes, size_t size, off_t at, struct fuse_file_info *file) {
    (void)path;
    ssize_t got = pread(file->fh, bytes, size, at);
    return got < 0 ? -errno : got;
}
static int write_file(const char *path, const char *bytes, size_t size, off_t at, struct fuse_file_info *file) {
    (void)path;
    ssize_t put = pwrite(file->fh, bytes, size, at);
    return put < 0 ? -errno : put;
}
static int close_file(const char *path, struct fuse_file_info *file) { (void)path; close(file->fh); return 0; }
static int room(const char *path, struct statvfs *stat) { BELOW(path, lower); DONE(statvfs(lower, stat)); }

static const struct fuse_operations operations = {
    .init = start, .getattr = get_attributes, .readlink = read_link, .readdir = list, .mkdir = make_directory,
    .unlink = remove_file, .rmdir = remove_directory, .symlink = make_link, .rename = move, .chmod = set_mode,
    .chown = set_owner, .utimens = set_times, .truncate = set_length, .create = make_file, .open = open_file,
    .read = read_file, .write = write_file, .release = close_file, .statfs = room,
};

int main(int count, char **arguments) {
    if (count < 3) return 2;
    odd.lower = arguments[1];
    for (int i = 3; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (value) *value++ = 0;
        const char *key = arguments[i];
        if (!strcmp(key, "chown")) odd.chown = number(value);
        else if (!strcmp(key, "chmod")) odd.chmod = number(value);
        else if (!strcmp(key, "utimens")) odd.utimens = number(value);
        else if (!strcmp(key, "symlink")) odd.symlink = number(value);
        else if (!strcmp(key, "truncate")) odd.truncate = number(value);
        else if (!strcmp(key, "directories")) odd.directories = true;
        else if (!strcmp(key, "ignore-chown")) odd.ignore_chown = true;
        else if (!strcmp(key, "ignore-chmod")) odd.ignore_chmod = true;
        else if (!strcmp(key, "fold")) odd.fold = true;
        else if (!strcmp(key, "windows")) odd.windows = true;
        else if (!strcmp(key, "seconds")) odd.seconds = atol(value);
        else return 2;
    }
    umask(0);
    char *mount[] = {arguments[0], arguments[2], "-f", "-o", "allow_other,default_permissions", NULL};
    return fuse_main(5, mount, &operations, NULL);
}
