/**
 * How a training uses the experts of a mixture: its load-balancing loss or bias, the z-loss of routers, and how many
 * experts tokens take at first. It works beside any objective, on every forward pass of the model that is trained.
 */
import { UserError } from "../../../errors.ts";
import { flagOf, type Values } from "../../../method/options.ts";
import { routerCoefficient } from "../../../model/config-keys.ts";
import type { Model } from "../../../model/model.ts";
import { routersIn, routesOf, tellActive } from "../../../model/routing.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { UpdateRule } from "../update-rule.ts";
import { ExpertCourse } from "./active-experts.ts";
import type { EXPERTS } from "./options.ts";
import { type RouterLosses, recordRouterLosses, StepLoads } from "./router-losses.ts";
import { parseBiasStep, SelectionBias } from "./selection-bias.ts";

export type ExpertOptions = Partial<Values<typeof EXPERTS>> & { readonly pack?: boolean };

/** Of a layer's loss, where neither options nor config.json say one. */
const COEFFICIENT = 0.01;

type Described = Pick<Model, "json" | "specs" | "architecture" | "adapter" | "parameters">;

/** Which losses options and config.json ask for. */
function lossesOf(
  { moe_balance: asked, moe_balance_coef: own, router_z_loss: z = 0 }: ExpertOptions,
  model: Described,
) {
  const config = routerCoefficient(model.json);
  const bias = asked === "bias";
  const wanted = asked ?? (config > 0 ? "global" : "none");
  const form = bias ? ("sequence" as const) : wanted === "none" || wanted === "bias" ? undefined : wanted;
  const layer = own ?? (bias ? 0 : COEFFICIENT);
  const balance = own === undefined && !bias && config > 0 ? { mean: config } : { layer };
  const isOff = "layer" in balance && balance.layer === 0;
  return { form: isOff ? undefined : form, balance, z, counts: bias } satisfies RouterLosses;
}

/** Biases of the choice by layer. Throws UserError where the model has none, or an adapter would leave them out. */
function biasesOf({ specs, architecture, adapter, parameters }: Described): Map<number, Parameter> {
  if (adapter)
    throw new UserError(
      "--moe-balance bias moves weights of the base, which an adapter leaves out",
      "train the model itself, or balance by a loss, global for one",
    );
  const found = new Map<number, Parameter>();
  for (const { name } of specs) {
    const layer = /\.layers\.(\d+)\..*\.e_score_correction_bias$/.exec(name)?.[1];
    if (layer !== undefined) found.set(Number(layer), parameters.get(name)!);
  }
  if (found.size === 0)
    throw new UserError(
      `--moe-balance bias needs a bias of the choice among the weights, and a ${architecture.name} has none`,
      "deepseek_v3 and glm4_moe have one; balance others by a loss, global for one",
    );
  return found;
}

/** What options and config.json ask of a mixture's training; undefined where nothing. Throws UserError. */
export function expertTraining(model: Model, options: ExpertOptions, steps: number): ExpertTraining | undefined {
  const routers = routersIn(model.specs);
  const named = (["moe_balance", "expert_start"] as const).find((name) => options[name] !== undefined);
  const given = named ?? ((options.router_z_loss ?? 0) > 0 ? "router_z_loss" : undefined);
  if (routers.size === 0 && given !== undefined)
    throw new UserError(
      `${flagOf(given)} is for mixtures of experts, and this ${model.architecture.name} has none`,
      "leave it out",
    );
  const losses = lossesOf(options, model);
  const { expert_start: start, expert_layers: layers, expert_switch: until = 0.9 } = options;
  const course = start && new ExpertCourse({ start, layers, switch: until }, routers, steps);
  if (routers.size === 0 || !(losses.form || losses.z > 0 || losses.counts || course)) return undefined;
  if (losses.form === "sequence" && options.pack)
    throw new UserError(
      "the load-balancing loss of each row takes a row for one text, and --pack puts several in one",
      "leave one out, or balance the whole step (global)",
    );
  return new ExpertTraining(model, losses, course, options, steps);
}

/** One line on what balances the experts of a model that is trained; undefined of other models. */
export function balanceRemark(model: Described, options: ExpertOptions): string | undefined {
  const routers = routersIn(model.specs);
  if (routers.size === 0) return undefined;
  const { form, balance, counts } = lossesOf(options, model);
  if (form) {
    const weight =
      "layer" in balance
        ? `${balance.layer} in each layer`
        : `router_aux_loss_coef ${balance.mean} of config.json times experts per token, of the mean over layers`;
    return `experts: balanced by a loss (${form}), weight ${weight}${counts ? ", and by a bias of the choice" : ""}`;
  }
  if (counts) return "experts: balanced by a bias of the choice";
  const trained = [...model.parameters.values()].some(
    ({ name, trainable }) => trainable && model.specs.some((spec) => spec.routes && spec.name === name),
  );
  return trained && !model.adapter && options.moe_balance === undefined
    ? "experts: routers are trained without a load-balancing loss; --moe-balance global adds one"
    : undefined;
}

/** The experts' part in one training. As an update rule it moves biases after every step, and frees what it holds. */
export class ExpertTraining implements UpdateRule {
  readonly name = "experts";
  readonly #losses: RouterLosses;
  readonly #loads: StepLoads;
  readonly #course: ExpertCourse | undefined;
  readonly #bias: SelectionBias | undefined;

  /** Throws UserError. */
  constructor(
    model: Model,
    losses: RouterLosses,
    course: ExpertCourse | undefined,
    { bias_step: step = "1e-3", bias_rule: rule = "sign", bias_until: until = 0.95 }: ExpertOptions,
    steps: number,
  ) {
    this.#losses = losses;
    this.#course = course;
    this.#loads = new StepLoads(model.gpu);
    if (losses.counts) {
      const last = Math.floor(until * steps);
      const options = { step: parseBiasStep(step), rule, last };
      this.#bias = new SelectionBias(model.gpu, biasesOf(model), this.#loads, options);
    }
  }

  /** Tells programs of a step from those of others; empty where all are alike. */
  key(step: number): string {
    return this.#course?.key(step) ?? "";
  }

  /** Before a pass is recorded for step `step`: how many experts tokens take. */
  begin(rec: Recorder, step: number): void {
    const active = this.#course?.active(step);
    if (active) tellActive(rec, active);
  }

  /** After it: the losses of its routers. */
  lose(rec: Recorder): void {
    const { form, z, counts } = this.#losses;
    if (routesOf(rec).length > 0 && (form || z > 0 || counts)) recordRouterLosses(rec, this.#losses, this.#loads);
  }

  async after(step: number): Promise<void> {
    await this.#bias?.after(step);
  }

  free(): void {
    this.#bias?.free();
    this.#loads.free();
  }
}
