/**
 * Training of a head for each domain beside a shared one (`train --heads per-domain`):
 *
 *   L = mean over domains d of [ loss(C_d(h(x_d)), y_d) + loss(C_0(h(x_d)), y_d) ] / 2
 *
 * A domain is a group of --data, and the mean is over those of the batch. Every head begins as the shared one. Zhang
 * et al., "Domain-Specific Risk Minimization", KDD 2023, https://arxiv.org/abs/2208.08661
 */

import type { Batch } from "../../data/batch.ts";
import { parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import type { Values } from "../../method/options.ts";
import { DOMAIN_HEAD_MODELS, DOMAIN_HEADS, domainHead } from "../../model/blocks/domain-heads.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import { type ChosenLoss, labelRows, type OwnLoss } from "../../run/training/label-loss.ts";
import { ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import type { Built } from "../../run/training/technique.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { add, mul, scale } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { TRAIN } from "../options.ts";

/** The weights of a head's module. */
const weightsOf = ({ parameters }: Model, module: string): { weight: Parameter; bias: Parameter } => ({
  weight: parameters.get(`${module}.weight`)!,
  bias: parameters.get(`${module}.bias`)!,
});

/** Lets every domain's head begin as the shared one. */
export function beginAlike(model: Model, domains: number): void {
  const shared = weightsOf(model, "classifier");
  for (let i = 0; i < domains; i++)
    for (const [part, own] of Object.entries(weightsOf(model, domainHead(i)))) {
      const from = part === "weight" ? shared.weight : shared.bias;
      model.gpu.copy(from.buffer, 0, own.buffer, 0, Math.ceil(own.bytes / 4) * 4);
    }
}

/** What `train --heads` makes of the config, and what it trains. */
export interface PerDomain {
  readonly changed: ConfigChange;
  /** Throws UserError for options that go with one head. */
  work(built: Built, loss: ChosenLoss): OwnLoss;
}

/** Undefined where there is one head. */
export function perDomain(options: Values<typeof TRAIN>): PerDomain | undefined {
  if (options.heads === "one") return undefined;
  if (options.head !== "own")
    throw new UserError(`--head ${options.head} and --heads per-domain both say what heads there are`, "leave one out");
  const domains = parseGroups(options.data ?? []).map(({ name }) => name);
  let hasHeads = false;
  return {
    changed(json, { ref }) {
      if (!DOMAIN_HEAD_MODELS.some((name) => name === json.model_type))
        throw new UserError(
          `--heads per-domain gives a classifier heads of domains, and ${ref} is a ${json.model_type}, which takes none`,
          `it is for ${DOMAIN_HEAD_MODELS.join(" and ")}`,
        );
      if (json.key_value_head)
        throw new UserError(`${ref} has a head of keys and values, and --heads per-domain linear ones`, "leave it out");
      const known = json[DOMAIN_HEADS];
      const names = isObject(known) && Array.isArray(known.domains) ? known.domains : undefined;
      if (names && names.join() !== domains.join())
        throw new UserError(
          `${ref} has heads for ${names.join(", ")}, and the groups of --data are ${domains.join(", ")}`,
          "name the groups as the heads are, in their order: --data NAME=FILE",
        );
      hasHeads = names !== undefined;
      return { ...json, [DOMAIN_HEADS]: { domains, gamma: options.heads_gamma } };
    },
    work({ model, resumed }, loss) {
      const other = [
        options.certified !== undefined && `--certified ${options.certified}`,
        options.mixup > 0 && "--mixup",
        options.contrastive > 0 && "--contrastive",
        options.loss_balance !== "none" && `--loss-balance ${options.loss_balance}`,
        options.adversarial && "--adversarial",
      ].find((flag) => flag);
      if (other)
        throw new UserError(`${other} is for a classifier of one head, and --heads gives several`, "leave one out");
      const work = domainHeadsWork(model, domains, { loss, recompute: options.recompute });
      if (!resumed && !model.gpu.dry && !hasHeads) beginAlike(model, domains.length);
      return work;
    },
  };
}

/**
 * The objective of a model with heads of `domains`. Throws UserError under an adapter, and for a loss that is not of
 * rows.
 */
export function domainHeadsWork(
  model: Model,
  domains: readonly string[],
  { loss, recompute }: { readonly loss: ChosenLoss; readonly recompute: boolean },
): OwnLoss {
  const { method } = loss.loss;
  if (model.adapter)
    throw new UserError("--heads per-domain trains a whole model, and an adapter is trained", "leave the adapter out");
  if (!method.rows || method.perRow)
    throw new UserError(`--heads per-domain has losses of rows, and --loss ${method.name} is of another kind`);
  const count = domains.length;
  const [OWN, EVEN] = ["domains of rows", "weights of rows"];
  return {
    objective: {
      name: "domain heads",
      ...ofBatch((batch) => batch),

      record(rec, batch): RecordedLoss {
        const n = batch.rows;
        const { hidden } = model.record(rec, recordInputs(rec, batch), { recompute, statistics: "batch" });
        const targets = recordTargets(rec, batch);
        const losses = (module: string) => {
          const { weight, bias } = weightsOf(model, module);
          const logits = linear(rec, hidden, rec.parameter(weight), { bias: rec.parameter(bias) });
          return labelRows(rec, loss, logits, targets); // (N)
        };
        const own = splitColumns(rec, rec.input(OWN, [n, count]), Array(count).fill(1));
        const weights = rec.input(EVEN, [n]);
        const shared = losses("classifier");
        const each = domains
          .map((_, i) => mul(rec, losses(domainHead(i)), rec.reshape(own[i]!, [n])))
          .reduce((a, b) => add(rec, a, b));
        const both = scale(rec, add(rec, each, shared), 0.5);
        return {
          backward: [[both, weights]],
          metrics: {
            loss: dot(rec, both, weights),
            domain_loss: dot(rec, each, weights),
            shared_loss: dot(rec, shared, weights),
          },
        };
      },

      fill(program, batch, total) {
        fillInputs(program, batch);
        fillTargets(program, batch);
        const { tasks, counted } = batch;
        const rows = Float32Array.from(tasks, (own) => tasks.filter((task) => task === own).length);
        const present = new Set(tasks).size;
        // A micro-batch counts by its share of the step's rows.
        program.write(
          EVEN,
          rows.map((own) => counted / total / (present * own)),
        );
        program.write(OWN, oneHot(batch, count));
      },
    },
  };
}

/** (N, D): 1 at the domain of each row. */
function oneHot({ tasks }: Batch, count: number): Float32Array {
  const marks = new Float32Array(tasks.length * count);
  for (const [row, domain] of tasks.entries()) marks[row * count + domain] = 1;
  return marks;
}
