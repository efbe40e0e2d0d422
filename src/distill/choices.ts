/** What options, arguments and method make of a run together: who learns, from whom, and how losses are weighed. */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { methodsFor } from "../method/capability.ts";
import { quote } from "../text/quote.ts";
import { repeated } from "../text/repeated.ts";
import type { DistillPart, LossWeights } from "./capability.ts";
import type { DistillMethod } from "./contract.ts";
import type { DistillRun } from "./run.ts";
import type { HowSampled, SampleShares } from "./sampled.ts";

export interface Choices {
  readonly chosen: Bound<DistillMethod>;
  /** Undefined with --init. */
  readonly student: string | undefined;
  /** The teachers that are named, or stdin. */
  readonly refs: readonly string[];
  readonly weights: LossWeights;
  readonly shares: SampleShares;
  readonly samples: HowSampled;
  /** What the method's capabilities do in this run. */
  readonly parts: readonly DistillPart[];
}

/** Reads who learns from whom. Throws UserError for what does not fit together. */
export async function chooseRoles(
  { options }: Pick<DistillRun, "options">,
  args: readonly string[],
  chosen: Bound<DistillMethod>,
): Promise<Choices> {
  const { method, values } = chosen;
  method.check?.(values);
  const named = [...(options.teacher ?? []), ...args];
  const weights = {
    distill: options.distill_weight ?? method.weights?.distill ?? 1,
    labels: options.label_weight ?? method.weights?.labels ?? 0,
  };
  const student = options.student ?? (options.init === undefined ? "-" : undefined);
  if (options.student !== undefined && options.init !== undefined)
    throw new UserError("both --student and --init say what learns", "give one of them");
  if (student === "-" && named.includes("-"))
    throw new UserError("student and teacher are both read from stdin", "name one of them");
  const samples = {
    sample_temperature: options.sample_temperature ?? method.defaults?.sample_temperature ?? TEMPERATURE,
    sample_tokens: options.sample_tokens,
    prompt_tokens: options.prompt_tokens,
  };
  const begun = {
    ...{ method: method.name, named, weights, evaluates: evaluates(options) },
    temperature: samples.sample_temperature,
  };
  const parts = (method.needs ?? []).flatMap((capability) => capability.begin(values, begun) ?? []);
  const replaced = parts.some(({ openTeachers }) => openTeachers !== undefined);
  const alone = named.length === 0 && (options.student ?? options.init) !== undefined;
  const refs = alone && !replaced ? ["-"] : named;
  if (student === "-" && refs.includes("-"))
    throw new UserError("student and teacher are both read from stdin", "name one of them");
  await checkCount(method, replaced ? 1 : refs.length, student === "-" ? refs.at(-1) : undefined);
  if (student === "-" && !named.includes("-") && fs.fstatSync(0).isCharacterDevice())
    throw new UserError(
      "no --student and no --init",
      `name what learns: --student ${args.length > 1 ? quote(args.at(-1)!) : "MODEL"}, or --init config.json for a new one`,
    );
  checkWeights(weights, options);
  refuseSameModels(refs, student, method, weights);
  const shares = {
    teacher: options.teacher_samples ?? method.defaults?.teacher_samples ?? 0,
    student: options.on_policy,
  };
  if (parts.some(({ batches }) => batches) && shares.teacher + shares.student > 0)
    throw new UserError(
      `${method.name} chooses itself whose answers are learnt`,
      "leave out --on-policy and --teacher-samples",
    );
  return { chosen, student, refs, weights, shares, samples, parts };
}

/** Of samples, where neither options nor the method say. */
const TEMPERATURE = 0.9;

/** Whether held-out losses are measured before the last step. */
const evaluates = ({ eval_data, eval_split, eval_every }: DistillRun["options"]): boolean =>
  eval_every > 0 && (eval_split !== undefined || (eval_data?.length ?? 0) > 0);

/** Throws UserError for a teacher that is named twice, or that the student already answers as. */
function refuseSameModels(
  refs: readonly string[],
  student: string | undefined,
  { laws }: DistillMethod,
  weights: LossWeights,
): void {
  const twice = repeated(refs, (ref) => path.resolve(ref));
  if (twice !== undefined) throw new UserError(`the teacher ${twice} is named twice`, "name each teacher once");
  const same =
    student !== undefined && student !== "-" && refs.length === 1 && path.resolve(refs[0]!) === path.resolve(student);
  if (same && laws.zeroAtTeacher === true && weights.labels === 0)
    throw new UserError(
      `${student} is teacher and student, so there is nothing to learn`,
      "name another model, or give --label-weight to learn from the data and stay near the model as it was",
    );
}

/** Throws UserError unless the method takes so many teachers. */
async function checkCount(
  { name, teachers: [least, most] = [1, 1], needs = [] }: DistillMethod,
  count: number,
  learner: string | undefined,
): Promise<void> {
  const ways = ["--teacher MODEL", ...needs.flatMap(({ instead }) => instead ?? [])];
  if (count === 0 && least > 0) throw new UserError("no teacher was named", `give ${ways.join(", or ")}`);
  if (count >= least && count <= most) return;
  if (count > most && learner !== undefined)
    throw new UserError(
      `all ${count} models are teachers, and nothing learns`,
      `name what learns: --student ${learner}`,
    );
  const more = await methodsFor("distill", ({ teachers, rows }) => rows !== undefined && (teachers?.[1] ?? 1) >= count);
  throw new UserError(
    `${name} takes ${least === most ? least : `${least} to ${most}`} teacher${most === 1 ? "" : "s"}, got ${count}`,
    count < least ? "give --teacher once for each" : more ? `several teachers: --method ${more}` : "leave some out",
  );
}

/** Throws UserError where nothing would be learnt, or an option changes a loss that does not count. */
function checkWeights(weights: LossWeights, options: DistillRun["options"]): void {
  if (weights.distill === 0 && weights.labels === 0)
    throw new UserError("--distill-weight and --label-weight are both 0", "nothing would be learnt");
  const changes = [
    ["--smoothing", options.smoothing > 0],
    ["--z-loss", options.z_loss > 0],
    [`--loss ${options.loss}`, options.loss !== "ce"],
  ] as const;
  const changed = changes.find(([, isGiven]) => isGiven);
  if (weights.labels === 0 && changed)
    throw new UserError(
      `${changed[0]} changes the loss of the labels, whose weight is 0`,
      "give --label-weight, or leave it out",
    );
}
