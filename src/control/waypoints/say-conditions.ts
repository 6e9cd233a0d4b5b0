import type { ReportedCondition } from '../gateway-report.ts';
import type { GatewayAddress, GatewayOutcome } from './gateway-status.ts';

/**
 * Pure: the conditions of a Gateway itself.
 *
 * @param reported what follows from its listeners, and what is said of it by the mesh; it wins over what deploying says, and gives way to a refusal
 */
export function conditionsOfGateway(
  outcome: GatewayOutcome,
  reported: readonly ReportedCondition[],
): readonly ReportedCondition[] {
  const { refusal, notes } = outcome;
  const said = new Map<string, ReportedCondition>();
  const say = (type: string, status: 'True' | 'False', reason: string, message: string): void => {
    said.set(type, { type, status, reason, message });
  };
  const asides = notes.filter(({ type, reason }) => type === 'Accepted' && reason === 'ValueNotHonoured');
  say('Accepted', 'True', 'Accepted', ['deployed as it asks', ...asides.map(({ message }) => message)].join('; '));
  const programmed = programmedBy(outcome);
  said.set(programmed.type, programmed);
  for (const condition of reported) said.set(condition.type, condition);
  if (refusal !== null) say(refusal.type, 'False', refusal.reason, refusal.message);
  if (said.get('Accepted')?.status === 'False') say('Programmed', 'False', 'Invalid', 'it is not accepted');
  for (const note of notes) if (!asides.includes(note)) say(note.type, 'False', note.reason, note.message);
  return [...said.values()];
}

function programmedBy({ role, addresses, serves }: GatewayOutcome): ReportedCondition {
  const no = (reason: string, message: string): ReportedCondition => ({
    type: 'Programmed',
    status: 'False',
    reason,
    message,
  });
  if (addresses.length === 0) return no('AddressNotAssigned', noAddress[role]);
  if (!serves) return no('Pending', 'none of its pods is available yet');
  return { type: 'Programmed', status: 'True', reason: 'Programmed', message: `a ${role} at ${describe(addresses)}` };
}

const noAddress: Readonly<Record<GatewayOutcome['role'], string>> = {
  waypoint: 'its Service has no address yet',
  gateway:
    'its Service has no address for clients yet: nobody has made a load balancer for it. Where nobody will, the annotation networking.istio.io/service-type on the Gateway may say ClusterIP or NodePort',
};

function describe(addresses: readonly GatewayAddress[]): string {
  return addresses.map(({ value }) => value).join(', ');
}
