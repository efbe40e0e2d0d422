/**
 * A quadratic penalty on the way from an anchor, as a change of the gradient:
 *
 *   lambda / 2 sum_i F_i (theta_i - theta*_i)^2
 *
 * F is an importance of every weight: the diagonal of the Fisher information (EWC, Kirkpatrick et al., PNAS 2017,
 * https://arxiv.org/abs/1612.00796), the path integral of SI, the sensitivity of MAS; 1 for all in L2-SP (Li et al.,
 * ICML 2018, https://arxiv.org/abs/1802.01483). The online form takes later importances in, F <- gamma F + F_new
 * (Schwarz et al., ICML 2018, https://arxiv.org/abs/1805.06370).
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { dynamic } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import { Programs } from "../../programs.ts";
import type { UpdateRule } from "../update-rule.ts";
import type { Anchor } from "./anchor.ts";

export interface PenaltyOptions {
  /** lambda; 0 changes nothing. */
  readonly weight: number;
  /** The anchor is the penalty's own: saved and freed with it. */
  readonly owned?: boolean;
  /** Tells it from other penalties of a training; "penalty" when left out. */
  readonly name?: string;
}

export class QuadraticPenalty implements UpdateRule {
  readonly name: string;
  readonly kept: readonly Parameter[];
  readonly #anchor: Anchor;
  readonly #weight: number;
  readonly #owned: boolean;
  readonly #programs: Programs;

  constructor(gpu: Gpu, anchor: Anchor, { weight, owned = false, name = "penalty" }: PenaltyOptions) {
    this.name = name;
    this.#anchor = anchor;
    this.#weight = weight;
    this.#owned = owned;
    this.kept = owned ? anchor.kept : [];
    this.#programs = new Programs(gpu);
  }

  get bytes(): number {
    return this.#owned ? this.#anchor.bytes : 0;
  }

  async before(): Promise<void> {
    if (this.#weight === 0) return;
    const { program } = await this.#programs.get("pull", (rec) => {
      for (const { parameter, anchor, importance } of this.#anchor.weights) {
        const { name, shape, size, dtype } = parameter;
        const held = {
          weight: rec.state(name, shape, parameter.buffer, dtype),
          anchor: rec.state(anchor.name, shape, anchor.buffer, dtype),
          ...(importance ? { importance: rec.state(importance.name, shape, importance.buffer) } : {}),
          gradient: rec.state(`gradient of ${name}`, shape, parameter.gradient),
        };
        for (const { count, of } of stretches(rec, size))
          rec.step({
            kernel: "training/pull",
            flags: [...(dtype === "bf16" ? ["weight_bf16"] : []), ...(importance ? ["weighed"] : [])],
            bind: Object.fromEntries(Object.entries(held).map(([name, x]) => [name, of(x)])),
            params: { n4: Math.ceil(count / 4), a: dynamic("a") },
            groups: spanGroups(Math.ceil(count / 4)),
          });
      }
    });
    program.run({ a: this.#weight });
  }

  free(): void {
    this.#programs.free();
    if (this.#owned) this.#anchor.free();
  }
}
