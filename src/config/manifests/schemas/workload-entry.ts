import { z } from 'zod';
import { closed, documentOf, list, maybe, namespacedMetadata, optionalObject, stringMap, text } from './common.ts';
import { endpointSpec } from './endpoint.ts';

/** Written by whoever checks the workload's health. */
const status = z.object({ conditions: list(z.object({ type: text, status: text })) });

export const workloadEntrySchema = closed({
  apiVersion: text,
  kind: text,
  metadata: namespacedMetadata,
  spec: optionalObject(endpointSpec),
  status: optionalObject(status),
});

export type WorkloadEntryDocument = z.output<typeof workloadEntrySchema>;

const groupSpec = closed({
  metadata: optionalObject(closed({ labels: stringMap, annotations: stringMap })),
  template: optionalObject(endpointSpec),
  probe: maybe(z.object({})),
});

export const workloadGroupSchema = documentOf(optionalObject(groupSpec));

export type WorkloadGroupDocument = z.output<typeof workloadGroupSchema>;
