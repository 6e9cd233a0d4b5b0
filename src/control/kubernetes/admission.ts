import { classify } from '../../config/manifests/kinds.ts';
import { objectKey, isKubeObject } from '../../kube/objects.ts';

/** Answers what the API server asks before it stores an object. */
export interface AdmissionReview {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: AdmissionResponse;
}

interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: { readonly code: number; readonly reason: string; readonly message: string };
}

interface AdmissionRequest {
  readonly uid: string;
  readonly operation: string;
  readonly object: unknown;
}

/**
 * Refuses what we could not read, with every mistake, so that it is told to who writes it and not to a log. A kind that we do not
 * know is somebody else's.
 *
 * @returns null where the body is no review
 */
export function reviewAdmission(body: unknown): AdmissionReview | null {
  const request = requestOf(body);
  if (request === null) return null;
  const problems = request.operation === 'DELETE' ? [] : problemsOf(request.object);
  const refusal = { code: 422, reason: 'Invalid', message: problems.join('\n') };
  const response = {
    uid: request.uid,
    allowed: problems.length === 0,
    ...(problems.length === 0 ? {} : { status: refusal }),
  };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}

function problemsOf(object: unknown): readonly string[] {
  if (!isKubeObject(object)) return ['the request holds no object'];
  const { apiVersion = '', kind = '', metadata } = object;
  const found = classify(apiVersion, kind);
  if (found.type !== 'known') return [];
  const reading = found.definition.read(object);
  if (reading.ok) return [];
  return reading.issues.map(({ path, message }) => `${kind} ${objectKey(metadata)}: ${path.join('.')}: ${message}`);
}

function requestOf(body: unknown): AdmissionRequest | null {
  if (typeof body !== 'object' || body === null || !('request' in body)) return null;
  const { request } = body;
  if (typeof request !== 'object' || request === null || !('uid' in request)) return null;
  const { uid } = request;
  const operation = 'operation' in request ? request.operation : '';
  if (typeof uid !== 'string' || typeof operation !== 'string') return null;
  return { uid, operation, object: 'object' in request ? request.object : null };
}
