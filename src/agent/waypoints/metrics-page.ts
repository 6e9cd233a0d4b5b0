import type { FamilyText } from './envoy-page.ts';
import { waypointFamilies } from './waypoint-families.ts';

/**
 * The page with the families of waypoints and gateways on it, in pieces. A family that both have stays one: its samples must not be apart.
 *
 * @param own families that begin with `# HELP`
 */
export function* withWaypoints(own: string, waypoints: readonly FamilyText[]): Generator<string> {
  const left = new Set(waypoints.map(({ name }) => name));
  const lines = (name: string): readonly string[] =>
    waypoints.filter((family) => family.name === name).map((family) => family.lines);
  for (const family of own.split(/^(?=# HELP )/m)) {
    yield family;
    const name = waypoints.find((added) => family.includes(`\n# TYPE ${added.name} `))?.name;
    if (name !== undefined && left.delete(name)) yield* lines(name);
  }
  for (const name of left) {
    const type = waypoints.find((family) => family.name === name)?.type ?? 'counter';
    yield `# HELP ${name} ${waypointFamilies[name]}.\n# TYPE ${name} ${type}\n`;
    yield* lines(name);
  }
}
