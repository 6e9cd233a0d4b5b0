/**
 * What one client of the outside can make a gateway hold. How many there can be at a time the bootstrap bounds, for all ports
 * together, and what they hold together its limit of memory.
 */

const second = 1_000;

/** The first bytes: a header of PROXY protocol, the name of TLS. Over a bad mobile network these take seconds. */
export const firstBytesTime = 10 * second;
/** From the first byte of TLS to the last of its handshake. */
export const handshakeTime = 15 * second;
/** Of a port, with all of its servers, for a secret that one of them names. */
export const secretTime = 5 * second;
/** Connections without a request. Longer than load balancers of the field keep theirs, 10 minutes at most: of two ends that close
 * the one that sends requests has to be the first, or a request is lost now and then. */
export const idleTime = 15 * 60 * second;

/**
 * Bytes of one connection, and of one stream, for which the other side is not fast enough. Envoy's advice for the edge is an eighth
 * of it, its default four times as much; this is also how long a body may be to be sent again where an endpoint has gone.
 */
export const bufferLimit = 256 * 1024;
/** All streams of one connection of HTTP/2 or HTTP/3, of bytes that have not been asked for. */
export const connectionWindow = 1024 * 1024;
/** Of one connection at a time: what browsers are content with, and what resetting them all at once may cost. */
export const maximumStreams = 100;
