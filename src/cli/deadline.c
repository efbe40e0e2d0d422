// A signal must end the process even while JavaScript runs a loop and hears nothing: what the system's handlers do.
//
// Bun compiles this file when a script begins to work (bun:ffi, a few ms). It is linked with nothing, since machines
// without a compiler have no libraries for that: the functions of the system come as pointers. All that the handlers
// call is safe in a handler (POSIX, signal-safety).

typedef void (*Handler)(int);

struct System {
  Handler (*signal)(int, Handler);
  int (*setitimer)(int, const long *, long *);
  int (*unlink)(const char *);
  int (*rmdir)(const char *);
  long (*write)(int, const void *, unsigned long);
  void (*exit)(int);
};

enum { INTERRUPT = 2, ALARM = 14, TERMINATE = 15, STDERR = 2 };
enum { FILE = 2, FOLDER = 3 };  // as in src/temporary.ts

static struct System system;
static const char *unfinished;
static const char *message;
static int length;
static int patience;  // ms
static Handler interrupt, terminate;
static int code;

/** Ends the process in so many ms; 0: never. */
void within(int ms) {
  long timer[4] = {0, 0, ms / 1000, ms % 1000 * 1000};
  system.setitimer(0, timer, 0);
}

static void late(int signal) {
  for (int kind = FILE; kind <= FOLDER; kind++)
    for (const char *at = unfinished; *at;) {
      const char *path = at + 1;
      if (*at == FILE && kind == FILE) system.unlink(path);
      if (*at == FOLDER && kind == FOLDER) system.rmdir(path);
      for (at = path; *at; at++);
      at++;
    }
  system.write(STDERR, message, length);
  system.exit(code);
}

static void asked(int signal) {
  Handler script = signal == INTERRUPT ? interrupt : terminate;
  code = 128 + signal;
  within(patience);
  if (script > (Handler)1) script(signal);  // neither the default nor ignored
}

/** Goes before the handlers that are there. `unfinished_files` is the list of src/temporary.ts. */
void begin(const struct System *functions, const char *unfinished_files, const char *text, int bytes, int ms) {
  system = *functions;
  unfinished = unfinished_files;
  message = text;
  length = bytes;
  patience = ms;
  system.signal(ALARM, late);
  interrupt = system.signal(INTERRUPT, asked);
  terminate = system.signal(TERMINATE, asked);
}

/** Gives the signals back to those who had them. */
void end(void) {
  within(0);
  system.signal(INTERRUPT, interrupt);
  system.signal(TERMINATE, terminate);
  system.signal(ALARM, (Handler)0);
}
