/* A strict libcuda that computes nothing: memory is the host's, streams do their work at once, kernels do none.

It refuses what a real one refuses: calls without a current context, memory and handles that are not there, launches with more dynamic
shared memory than was allowed, and whatever does not belong into a graph while one is recorded. stub_count tells what there is. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default"))) int
#define MOST 65536
typedef uintptr_t P;
enum { OK, INVALID_VALUE, OUT_OF_MEMORY, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, UNSUPPORTED = 900, INVALIDATED = 901 };
enum { BLOCK, PINNED, EVENT, GRAPH, EXECUTABLE, STREAM, MODULE, FUNCTION, KINDS };

static struct { P handle; long size; } things[KINDS][MOST];
static int ends[KINDS], live[KINDS];
static P next = 0x10000, capturing, bad;
static int launches, captured, replayed, syncs;
static _Thread_local P contexts[16];
static _Thread_local int depth;

#define CONTEXT if (!contexts[depth]) return INVALID_CONTEXT
#define NEEDS(kind, handle) if (find(kind, handle) < 0) return INVALID_HANDLE
#define FORBIDDEN if (capturing) { bad = 1; return UNSUPPORTED; }
#define IN_STREAM(s) CONTEXT; NEEDS(STREAM, s); if (capturing == s) { bad = 1; return UNSUPPORTED; }

static int find(int kind, P handle) {
  for (int i = ends[kind] - 1; i >= 0; i--) if (things[kind][i].handle == handle) return i;
  return -1;
}
static int add(int kind, P handle, long size) {
  things[kind][ends[kind]].handle = handle; things[kind][ends[kind]++].size = size; live[kind]++;
  return OK;
}
static int make(int kind, P *handle, long size) { return add(kind, *handle = next += 16, size); }
static int drop(int kind, P handle) {
  int i = find(kind, handle);
  if (i < 0) return INVALID_HANDLE;
  things[kind][i].handle = 0; live[kind]--;
  return OK;
}
static int inside(P p, long n) {
  for (int i = 0; i < ends[BLOCK]; i++) {
    P start = things[BLOCK][i].handle;
    if (start && p >= start && p + n <= start + things[BLOCK][i].size) return 1;
  }
  return 0;
}
static int nothing(void) { return 999; }

API stub_count(const char *what) {
  static const char *names[] = {"blocks", "pinned", "events", "graphs", "executables", "streams", "modules", "functions"};
  for (int i = 0; i < KINDS; i++) if (!strcmp(what, names[i])) return live[i];
  return !strcmp(what, "launches") ? launches : !strcmp(what, "captured") ? captured : !strcmp(what, "replayed") ? replayed : syncs;
}
API cuInit(unsigned flags) { return getenv("STUB_NO_GPU") ? 100 : OK; }
API cuDriverGetVersion(int *v) { const char *s = getenv("STUB_VERSION"); *v = s ? atoi(s) : 13050; return OK; }
API cuDeviceGetCount(int *n) { *n = 1; return OK; }
API cuDeviceGet(int *d, int i) { *d = i; return i ? 101 : OK; }
API cuDeviceGetName(char *s, int n, int d) { strncpy(s, "Stub", n); return OK; }
API cuDeviceTotalMem_v2(size_t *n, int d) { *n = 1ul << 31; return OK; }
API cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : a == 76 ? 0 : a == 16 ? 132 : a == 97 ? 232448 : -1; return *v < 0; }
API cuDevicePrimaryCtxRetain(P *c, int d) { *c = 0x1000; return OK; }
API cuCtxSetCurrent(P c) { contexts[depth] = c; return OK; }
API cuCtxPushCurrent_v2(P c) { contexts[++depth] = c; return OK; }
API cuCtxPopCurrent_v2(P *c) { *c = contexts[depth--]; return OK; }
API cuMemGetInfo_v2(size_t *f, size_t *t) { CONTEXT; *f = 1ul << 30; *t = 1ul << 31; return OK; }
API cuMemAlloc_v2(P *p, size_t n) {
  CONTEXT; FORBIDDEN
  if (!n) return INVALID_VALUE;
  if (n > 1ul << 30) return OUT_OF_MEMORY;
  *p = (P)aligned_alloc(256, (n + 255) / 256 * 256);
  return add(BLOCK, *p, n);
}
API cuMemFree_v2(P p) { CONTEXT; FORBIDDEN if (drop(BLOCK, p)) return INVALID_VALUE; free((void *)p); return OK; }
API cuMemHostAlloc(P *p, size_t n, unsigned flags) { CONTEXT; FORBIDDEN if (!n || flags) return INVALID_VALUE; *p = (P)malloc(n); return add(PINNED, *p, n); }
API cuMemFreeHost(P p) { CONTEXT; FORBIDDEN if (drop(PINNED, p)) return INVALID_VALUE; free((void *)p); return OK; }
API cuMemsetD8Async(P p, unsigned char c, size_t n, P s) { IN_STREAM(s); if (!inside(p, n)) return INVALID_VALUE; memset((void *)p, c, n); return OK; }
API cuMemcpyHtoDAsync_v2(P d, P h, size_t n, P s) { IN_STREAM(s); if (!inside(d, n)) return INVALID_VALUE; memcpy((void *)d, (void *)h, n); return OK; }
API cuMemcpyDtoHAsync_v2(P h, P d, size_t n, P s) { IN_STREAM(s); if (!inside(d, n)) return INVALID_VALUE; memcpy((void *)h, (void *)d, n); return OK; }
API cuMemcpyDtoDAsync_v2(P d, P f, size_t n, P s) {
  IN_STREAM(s);
  if (!inside(d, n) || !inside(f, n)) return INVALID_VALUE;
  memcpy((void *)d, (void *)f, n);
  return OK;
}
API cuStreamCreate(P *s, unsigned flags) { CONTEXT; return flags == 1 ? make(STREAM, s, 0) : INVALID_VALUE; }
API cuStreamSynchronize(P s) { IN_STREAM(s); syncs++; return OK; }
API cuStreamWaitEvent(P s, P e, unsigned flags) { IN_STREAM(s); NEEDS(EVENT, e); return flags ? INVALID_VALUE : OK; }
API cuEventCreate(P *e, unsigned flags) { CONTEXT; return flags == 2 ? make(EVENT, e, 0) : INVALID_VALUE; }
API cuEventRecord(P e, P s) { IN_STREAM(s); NEEDS(EVENT, e); return OK; }
API cuEventSynchronize(P e) { CONTEXT; NEEDS(EVENT, e); syncs++; return OK; }
API cuEventDestroy_v2(P e) { CONTEXT; return drop(EVENT, e); }
API cuModuleLoadData(P *m, const char *image) { CONTEXT; if (memcmp(image, "\177ELF", 4)) return INVALID_IMAGE; return make(MODULE, m, 0); }
API cuModuleGetFunction(P *f, P m, const char *name) { CONTEXT; NEEDS(MODULE, m); return *name ? make(FUNCTION, f, 0) : 500; }
API cuFuncSetAttribute(P f, int a, int value) {
  CONTEXT; NEEDS(FUNCTION, f);
  if (a != 8 || value > 232448) return INVALID_VALUE;
  things[FUNCTION][find(FUNCTION, f)].size = value;
  return OK;
}
static volatile unsigned char seen;
API cuLaunchKernel(P f, unsigned a, unsigned b, unsigned c, unsigned x, unsigned y, unsigned z, unsigned shared, P s, unsigned char **values, void **extra) {
  CONTEXT; NEEDS(FUNCTION, f); NEEDS(STREAM, s);
  if (!a || !b || !c || !x || !y || !z || (long)x * y * z > 1024 || b > 65535 || c > 65535 || extra) return INVALID_VALUE;
  if (shared > things[FUNCTION][find(FUNCTION, f)].size) return INVALID_VALUE;
  seen = *values[0];
  if (capturing == s) captured++; else launches++;
  return OK;
}
API cuStreamBeginCapture_v2(P s, int mode) { CONTEXT; NEEDS(STREAM, s); FORBIDDEN capturing = s; captured = bad = 0; return mode == 2 ? OK : INVALID_VALUE; }
API cuStreamEndCapture(P s, P *g) {
  CONTEXT;
  if (capturing != s) return INVALID_VALUE;
  capturing = 0; *g = 0;
  return bad ? INVALIDATED : make(GRAPH, g, captured);
}
API cuGraphInstantiateWithFlags(P *e, P g, unsigned long long flags) { CONTEXT; NEEDS(GRAPH, g); return make(EXECUTABLE, e, things[GRAPH][find(GRAPH, g)].size); }
API cuGraphInstantiate(P *e, P g, unsigned long long flags) { return cuGraphInstantiateWithFlags(e, g, flags); }
API cuGraphDestroy(P g) { return drop(GRAPH, g); }
API cuGraphLaunch(P e, P s) { IN_STREAM(s); NEEDS(EXECUTABLE, e); replayed += things[EXECUTABLE][find(EXECUTABLE, e)].size; return OK; }
API cuGraphExecDestroy(P e) { return drop(EXECUTABLE, e); }
API cuGetErrorString(int e, const char **s) { *s = "the stub's words"; return OK; }
API cuGetProcAddress_v2(const char *name, void **p, int version, uint64_t flags, int *found) {
  void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_LAZY);
  char full[128];
  for (int k = 3; k; k--) {
    snprintf(full, sizeof full, k > 1 ? "%s_v%d" : "%s", name, k);
    if ((*p = dlsym(self, full))) break;
  }
  if (!*p) *p = (void *)nothing;
  if (found) *found = 0;
  return OK;
}
