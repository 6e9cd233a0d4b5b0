/* The process that holds a pod's namespaces, and the first process of a node: it waits, and reaps orphans. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
  /* The first process of a PID namespace gets only signals that it asks for; SIGCHLD must not be ignored, or
   * children would be reaped behind the back of whoever waits for them. */
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  sigaddset(&awaited, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &awaited, NULL) != 0) return 1;
  for (;;) {
    int number = 0;
    if (sigwait(&awaited, &number) != 0) return 1;
    if (number != SIGCHLD) return 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}
