import { z } from 'zod';
import { canonicalAddress } from '../../model/address.ts';

/** What the plugin asks, and what it is answered: `docs/cni.md` is the contract. */

const name = z.string().min(1).max(253);
const identifier = z.string().min(1).max(1024);
const attachment = z.object({ containerId: identifier, interface: identifier });

const pod = z.object({ namespace: name, name, uid: z.string().min(1).max(64).nullable() });

const address = z.string().transform((text, context): string => {
  const canonical = canonicalAddress(text);
  if (canonical !== null) return canonical;
  context.issues.push({ code: 'custom', input: text, message: 'must be an address' });
  return z.NEVER;
});

const enrolment = attachment.extend({
  version: z.literal(1),
  pod,
  netns: z.object({
    path: z.string().startsWith('/').max(4096),
    device: z.int().nonnegative(),
    inode: z.int().nonnegative(),
  }),
  addresses: z.array(address).max(16),
  limitMilliseconds: z.int().positive(),
});

const request = z.discriminatedUnion('command', [
  enrolment.extend({ command: z.literal('add') }),
  enrolment.extend({ command: z.literal('check') }),
  attachment.extend({ version: z.literal(1), command: z.literal('delete'), pod }),
  z.object({ version: z.literal(1), command: z.literal('gc'), attachments: z.array(attachment) }),
]);

export type CniRequest = z.output<typeof request>;
export type CniEnrolment = z.output<typeof enrolment>;
export type CniPod = z.output<typeof pod>;
export type CniDeletion = Extract<CniRequest, { readonly command: 'delete' }>;

export type CniAnswer =
  | { readonly result: 'enrolled' | 'notInMesh' | 'done' }
  | { readonly result: 'refused'; readonly code: string; readonly message: string }
  | { readonly result: 'later'; readonly message: string };

/** One line. @throws Error that says what is wrong with it */
export function parseCniRequest(line: string): CniRequest {
  const result = request.safeParse(JSON.parse(line));
  if (result.success) return result.data;
  throw new Error(result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}
