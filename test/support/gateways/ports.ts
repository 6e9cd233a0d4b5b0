/** Ports of the gateway's Service, as its servers name them. */
export const edgePorts = { http: 80, https: 443, bytes: 9000, passthrough: 9443 } as const;

/** Of a server that ends TLS itself. */
export const tlsServerPort = 8443;
