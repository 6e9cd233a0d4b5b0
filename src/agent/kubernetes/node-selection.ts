import { z } from 'zod';

const labels = z.record(z.string(), z.string()).nullish();

const requirement = z.object({ key: z.string(), operator: z.string(), values: z.array(z.string()).nullish() });

const term = z.object({
  matchExpressions: z.array(requirement).nullish(),
  matchFields: z.array(requirement).nullish(),
});

const required = z.object({ nodeSelectorTerms: z.array(term) });

/** Where the pods of a DaemonSet may run, as far as its template says so. */
export const nodeSelectionSchema = z.object({
  nodeSelector: labels,
  affinity: z
    .object({
      nodeAffinity: z.object({ requiredDuringSchedulingIgnoredDuringExecution: required.nullish() }).nullish(),
    })
    .nullish(),
});

export type NodeSelection = z.output<typeof nodeSelectionSchema>;
type Requirement = z.output<typeof requirement>;
type Term = z.output<typeof term>;

export interface SelectedNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Whether a DaemonSet's controller wants a pod on that node. An operator that is not known selects: who stays stays closed. */
export function selectsNode({ nodeSelector, affinity }: NodeSelection, node: SelectedNode): boolean {
  const wanted = Object.entries(nodeSelector ?? {});
  if (wanted.some(([key, value]) => node.labels[key] !== value)) return false;
  const terms = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return terms === undefined || terms.some((one) => matchesTerm(one, node));
}

/** A term without any requirement selects nothing. */
function matchesTerm({ matchExpressions, matchFields }: Term, { name, labels: own }: SelectedNode): boolean {
  const expressions = matchExpressions ?? [];
  const fields = matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  const field = (one: Requirement): string | undefined => (one.key === 'metadata.name' ? name : undefined);
  return expressions.every((one) => meets(one, own[one.key])) && fields.every((one) => meets(one, field(one)));
}

function meets({ operator, values }: Requirement, value: string | undefined): boolean {
  const listed = value !== undefined && (values ?? []).includes(value);
  switch (operator) {
    case 'In':
      return listed;
    case 'NotIn':
      return !listed;
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return Number.parseInt(value ?? '', 10) > Number(values?.[0]);
    case 'Lt':
      return Number.parseInt(value ?? '', 10) < Number(values?.[0]);
    default:
      return true;
  }
}
