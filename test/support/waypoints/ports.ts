/** What each replica of a shop serves, and under which ports its Service does. */
export const serverPorts = { web: 8080, rpc: 8081, bytes: 8082 } as const;
export const servicePorts = { web: 80, rpc: 81, bytes: 82 } as const;
/** Of who is asked, in a pod of its own. */
export const authorizerPorts = { http: 8000, grpc: 9000 } as const;
