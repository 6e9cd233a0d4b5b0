/**
 * What clients are known by: whom the mesh vouches for, or, where it vouches for nobody, the address that trusted proxies say and whatever
 * certificate they have shown.
 */
export type ClientsBy = 'identity' | 'address';
