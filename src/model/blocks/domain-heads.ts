/**
 * A classifier's heads for domains, beside the one that all share: each row is answered by their mixture, in which a
 * head weighs the more the surer it is,
 *
 *   p = sum_i w_i p_i,  w_i = H(p_i)^-gamma / sum_j H(p_j)^-gamma
 *
 * over the heads of the domains, or by the surest alone where gamma is negative. The shared head is trained along and
 * answers for none. Zhang et al., "Domain-Specific Risk Minimization", KDD 2023, https://arxiv.org/abs/2208.08661
 *
 * config.json has `domain_heads`: the names of the `domains`, and `gamma`.
 */
import { UserError } from "../../errors.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { rowEntropy } from "../../tensor/ops/distribution.ts";
import { add, addScalar, clamp, exp, log, maximum, scale, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { chosenExperts } from "../../tensor/ops/router.ts";
import { logSoftmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface DomainHeads {
  readonly domains: readonly string[];
  /** Negative: the surest head alone. */
  readonly gamma: number;
}

/** The key of config.json that says a classifier has such heads. */
export const DOMAIN_HEADS = "domain_heads";

/** Architectures that may have them. */
export const DOMAIN_HEAD_MODELS = ["mlp", "vit"] as const;

/** Module of a domain's head, whose tensors are those of the shared one, `classifier`. */
export const domainHead = (domain: number): string => `domain_heads.${domain}`;

/** Least entropy that is told from none. */
const SURE = 1e-9;

/** Reads it; undefined where there is one head. Throws UserError. */
export function domainHeads(c: ConfigReader): DomainHeads | undefined {
  const json = c.object(DOMAIN_HEADS);
  if (!json) return undefined;
  const where = `${c.where}: ${DOMAIN_HEADS}`;
  const own = new ConfigReader(json, where);
  const domains = own.words("domains") ?? [];
  if (domains.length === 0) throw new UserError(`${where} names no domains`, 'for example "domains": ["a", "b"]');
  return { domains, gamma: own.number("gamma", 1) };
}

/** How config.json says it. */
export const domainHeadsJson = (heads: DomainHeads | undefined): Json => (heads ? { [DOMAIN_HEADS]: heads } : {});

/** Weights of the heads, like those of the shared one. */
export const domainHeadParameters = (
  heads: DomainHeads | undefined,
  linear: (module: string) => readonly ParameterSpec[],
): ParameterSpec[] => (heads ? heads.domains.flatMap((_, i) => linear(domainHead(i))) : []);

/** Logs of the weights of heads (N, D) by the logits of each, (N, K); no gradient goes through them. */
function logWeights(rec: Recorder, logits: readonly Tensor[], gamma: number): Tensor {
  const n = logits[0]!.shape[0]!;
  const entropies = joinColumns(
    rec,
    logits.map((each) => rec.reshape(rowEntropy(rec, stopGradient(rec, each)), [n, 1])),
  );
  const sureness = scale(rec, log(rec, clamp(rec, entropies, SURE, 1e9)), gamma < 0 ? -1 : -gamma);
  if (gamma >= 0) return logSoftmax(rec, sureness);
  const ones = rec.constant(new Float32Array(n).fill(1), [n, 1], "ones");
  return scale(rec, addScalar(rec, chosenExperts(rec, sureness, 1, ones), -1), 1e9); // 0 for one, else -1e9
}

/** log p of the mixture (N, K), of the logits of each head. */
export function mixedHeads(rec: Recorder, logits: readonly Tensor[], gamma: number): Tensor {
  const weights = splitColumns(rec, logWeights(rec, logits, gamma), Array(logits.length).fill(1));
  const parts = logits.map((each, i) => add(rec, logSoftmax(rec, each), weights[i]!));
  const most = stopGradient(
    rec,
    parts.reduce((a, b) => maximum(rec, a, b)),
  );
  const shares = parts.map((part) => exp(rec, sub(rec, part, most))).reduce((a, b) => add(rec, a, b));
  return add(rec, log(rec, shares), most);
}

/** Logits of every domain's head, (N, K) each: hidden (N, width). */
export const domainLogits = (net: Pick<Net, "linear">, { domains }: DomainHeads, hidden: Tensor): Tensor[] =>
  domains.map((_, i) => net.linear(hidden, domainHead(i)));
