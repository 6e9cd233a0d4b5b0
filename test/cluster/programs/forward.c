/* forward NETNS ADDRESS PORT: listens on a free port of 127.0.0.1 here, prints it, and carries each connection to
 * ADDRESS:PORT inside the network namespace NETNS. So the machine's kubectl reaches an API server whose network has no
 * link to the machine's. One process per connection. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void require(int holds, const char *what) {
  if (holds) return;
  perror(what);
  exit(1);
}

static int listen_on_loopback(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  require(listener >= 0, "socket");
  require(bind(listener, (struct sockaddr *)&at, sizeof at) == 0, "bind");
  require(listen(listener, 128) == 0, "listen");
  require(getsockname(listener, (struct sockaddr *)&at, &length) == 0, "getsockname");
  printf("%d\n", ntohs(at.sin_port));
  require(fflush(stdout) == 0, "stdout");
  return listener;
}

static void enter(const char *netns) {
  int namespace = open(netns, O_RDONLY | O_CLOEXEC);
  require(namespace >= 0, netns);
  require(setns(namespace, CLONE_NEWNET) == 0, "setns");
  close(namespace);
}

static int write_all(int to, const char *bytes, ssize_t count) {
  while (count > 0) {
    ssize_t written = write(to, bytes, (size_t)count);
    if (written <= 0) return 0;
    bytes += written;
    count -= written;
  }
  return 1;
}

/* Moves what is there; false when this direction is at its end. */
static int move(int from, int to) {
  char buffer[64 * 1024];
  ssize_t count = read(from, buffer, sizeof buffer);
  if (count > 0 && write_all(to, buffer, count)) return 1;
  shutdown(to, SHUT_WR);
  return 0;
}

static void carry(int left, int right) {
  struct pollfd ends[] = {{.fd = left, .events = POLLIN}, {.fd = right, .events = POLLIN}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (poll(ends, 2, -1) < 0) return;
    if (ends[0].fd >= 0 && ends[0].revents && !move(left, right)) ends[0].fd = -1;
    if (ends[1].fd >= 0 && ends[1].revents && !move(right, left)) ends[1].fd = -1;
  }
}

static void serve(int client, const struct sockaddr_in *server) {
  int upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (upstream >= 0 && connect(upstream, (const struct sockaddr *)server, sizeof *server) == 0)
    carry(client, upstream);
}

int main(int argc, char **argv) {
  struct sockaddr_in server = {.sin_family = AF_INET};
  if (argc != 4 || inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) {
    fputs("usage: forward NETNS ADDRESS PORT\n", stderr);
    return 2;
  }
  server.sin_port = htons((uint16_t)atoi(argv[3]));
  signal(SIGCHLD, SIG_IGN); /* nobody waits for a connection's process */
  signal(SIGPIPE, SIG_IGN);
  int listener = listen_on_loopback();
  enter(argv[1]);
  for (;;) {
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) {
      require(errno == EINTR || errno == ECONNABORTED, "accept");
      continue;
    }
    if (fork() == 0) {
      close(listener);
      serve(client, &server);
      _exit(0);
    }
    close(client);
  }
}
