/* Put before the C library, this is a file server's bad days: what FAULT says happens to paths that contain FAULT_AT.
   hang: whoever opens one waits until there is a file FAULT_UNTIL, or for ever; the first FAULT_AFTER are let pass.
   once: the first open of each process fails, as on a time-out. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int faults;

static int fails(const char *path) {
  const char *fault = getenv("FAULT"), *at = getenv("FAULT_AT");
  if (fault == NULL || at == NULL || strstr(path, at) == NULL) return 0;
  int hangs = strcmp(fault, "hang") == 0;
  if (!hangs && strcmp(fault, "once") != 0) return 0;
  int before = __sync_fetch_and_add(&faults, 1);
  if (hangs) {
    const char *after = getenv("FAULT_AFTER"), *until = getenv("FAULT_UNTIL");
    if (before < (after == NULL ? 0 : atoi(after))) return 0;
    if (write(1, "INFO: it hangs\n", 15) < 0) _exit(9);
    while (until == NULL || access(until, F_OK) != 0) usleep(5000);
    return 0;
  }
  if (before > 0) return 0;
  errno = ETIMEDOUT;
  return 1;
}

int open64(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "open64");
  va_list more;
  va_start(more, flags);
  int mode = va_arg(more, int);
  va_end(more);
  return fails(path) ? -1 : real(path, flags, mode);
}

DIR *opendir(const char *path) {
  static DIR *(*real)(const char *);
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "opendir");
  return fails(path) ? NULL : real(path);
}

/* What getrusage tells was inherited from the process that started this one. */
static long peak(void) {
  char line[256];
  long kib = 0;
  FILE *status = fopen("/proc/self/status", "r");
  if (status == NULL) return 0;
  while (fgets(line, sizeof line, status) != NULL && sscanf(line, "VmHWM: %ld", &kib) != 1) {}
  fclose(status);
  return kib;
}

__attribute__((destructor)) static void report(void) {
  if (getenv("FAULT_AT") != NULL) fprintf(stderr, "INFO: faults %d, peak %ld KiB\n", faults, peak());
}
