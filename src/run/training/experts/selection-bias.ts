/**
 * Balance without a loss: a bias of each expert joins its score for the choice, and nothing else, and moves after every
 * step against the expert's load. Wang et al. 2024, https://arxiv.org/abs/2408.15664; as one step of dual ascent per
 * step: A Theoretical Framework for Auxiliary-Loss-Free Load Balancing 2025, https://arxiv.org/abs/2512.03915
 *
 *   sign            b_i <- b_i + u_n sign(L - c_i)
 *   proportional    b_i <- b_i + u_n (L - c_i) / L
 *
 * c_i are the slots of expert i in the whole step, L their mean over the experts, u_n = u, u / n or u / sqrt(n) at step
 * n; 0 after the share `until` of the steps. The bias is a tensor of the checkpoint and is saved and resumed with it.
 */
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { excessLoad } from "../../../tensor/ops/balance.ts";
import { isPositive, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { Programs } from "../../programs.ts";
import type { StepLoads } from "./router-losses.ts";

/** How far a bias moves at a step, from 1. */
export type BiasStep = (step: number) => number;

/** "1e-3", "1e-3/n" or "1e-3/sqrt-n". Throws UserError. */
export function parseBiasStep(text: string): BiasStep {
  const found = /^([0-9.]+(?:e[+-]?\d+)?)(?:\/(n|sqrt-n))?$/i.exec(text.trim());
  const u = Number(found?.[1]);
  if (!found || !Number.isFinite(u))
    throw new UserError(`--bias-step ${text} is not U, U/n or U/sqrt-n`, "as in 1e-3, 0.1/n or 1e-2/sqrt-n");
  const power = found[2] === undefined ? 0 : found[2] === "n" ? 1 : 0.5;
  return (step) => u / step ** power;
}

export interface SelectionBiasOptions {
  readonly step: BiasStep;
  readonly rule: "sign" | "proportional";
  /** The last step that moves it. */
  readonly last: number;
}

/** sign(L - c) of loads c (1, E), by whole numbers, so that an expert with just its part stays. */
function signs(rec: Recorder, loads: Tensor): Tensor {
  const under = sub(rec, rowSum(rec, loads), scale(rec, loads, loads.shape[1]!));
  return sub(rec, isPositive(rec, under), isPositive(rec, neg(rec, under)));
}

export class SelectionBias {
  readonly #programs: Programs;
  readonly #biases: ReadonlyMap<number, Parameter>;
  readonly #loads: StepLoads;
  readonly #options: SelectionBiasOptions;

  /** `biases` (E) by layer. */
  constructor(gpu: Gpu, biases: ReadonlyMap<number, Parameter>, loads: StepLoads, options: SelectionBiasOptions) {
    this.#programs = new Programs(gpu);
    this.#biases = biases;
    this.#loads = loads;
    this.#options = options;
  }

  /** Moves all biases by the counts of step `step`. */
  async after(step: number): Promise<void> {
    const { step: u, rule, last } = this.#options;
    if (step > last) return;
    const { program } = await this.#programs.get("move", (rec) => {
      for (const [layer, { name, size, buffer }] of this.#biases) {
        const kept = this.#loads.loads.get(layer);
        if (!kept) throw new Error(`nothing has counted the experts of layer ${layer}`);
        const loads = rec.state(kept.name, kept.shape, kept.buffer); // (1, E)
        const way = rule === "sign" ? signs(rec, loads) : neg(rec, excessLoad(rec, loads));
        rec.step({
          kernel: "recorder/add-into",
          bind: { x: scale(rec, way, dynamic("u")), y: rec.state(name, [size], buffer) },
          params: { n: size, accumulate: 1 },
          groups: spanGroups(Math.ceil(size / 4)),
        });
      }
    });
    program.run({ u: u(step) });
  }

  free(): void {
    this.#programs.free();
  }
}
