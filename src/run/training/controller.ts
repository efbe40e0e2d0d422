/**
 * What a controller is: it follows a training from step to step. It gives numbers, hears results, and acts between
 * steps.
 */
import type { Stateful } from "../../method/stateful.ts";
import type { HeldOutLosses } from "./held-out.ts";
import type { StepResult } from "./trainer.ts";

/**
 * Follows a training. Several work side by side, in the order of their list. All that a controller knows is in its
 * state, which is saved under its name, so that a training that resumes continues as it was. It changes no weights:
 * update rules do.
 *
 * Held-out losses are measured once a step, for whoever asks, and logged.
 */
export interface Controller extends Stateful {
  /** Tells it from the other controllers and rules of a training. */
  readonly name: string;
  /** Numbers that the objective's programs take in step `step`, by name. No two controllers give one name. */
  values?(step: number): Readonly<Record<string, number>>;
  /** Whether the log has these numbers, because they depend on the run. */
  readonly logged?: boolean;
  /** What it does now, in a few words, for the line of progress and the end: "mixture keep 75%, language 25%". */
  said?(): string;
  /** Called before the first step of a training that does not resume. */
  begin?(held: HeldOutLosses | undefined): Promise<void>;
  /** Hears every step before the next one begins. Without it, the loop runs some steps ahead. */
  heard?(result: StepResult): void;
  /**
   * Asked of a step whose gradient is not finite and which changed no weight: true where the training goes on without
   * it. Nobody hears of that step.
   */
  skips?(): boolean;
  /** Acts after a step has been heard, on the steps that `due` names (all when left out). */
  due?(step: number): boolean;
  after?(step: number, held: HeldOutLosses | undefined): Promise<void>;
}

/** The controllers of one training, side by side. */
export class Controllers {
  readonly list: readonly Controller[];

  constructor(list: readonly Controller[]) {
    this.list = list;
  }

  /** Whether one of them hears every step before the next one. */
  get hears(): boolean {
    return this.list.some(({ heard }) => heard);
  }

  /** The numbers of a step: all of them, and those that the log has. Throws RangeError for a name that two give. */
  values(step: number): { all: Record<string, number>; logged: Record<string, number> } {
    const all: Record<string, number> = {};
    const logged: Record<string, number> = {};
    for (const controller of this.list) {
      const own = controller.values?.(step) ?? {};
      const twice = Object.keys(own).find((name) => name in all);
      if (twice) throw new RangeError(`${controller.name} and another controller both give ${twice}`);
      Object.assign(all, own);
      if (controller.logged) Object.assign(logged, own);
    }
    return { all, logged };
  }

  /** What they do now: ", mixture keep 75%, language 25%"; empty where none of them says. */
  get said(): string {
    return this.list
      .map((controller) => controller.said?.())
      .filter((text) => text)
      .map((text) => `, ${text}`)
      .join("");
  }

  async begin(held: HeldOutLosses | undefined): Promise<void> {
    for (const controller of this.list) await controller.begin?.(held);
  }

  /** Whether one of them lets a step go whose gradient is not finite. */
  skips(): boolean {
    return this.list.some((controller) => controller.skips?.());
  }

  heard(result: StepResult): void {
    for (const controller of this.list) controller.heard?.(result);
  }

  /** Those that act after a step. */
  due(step: number): Controller[] {
    return this.list.filter((controller) => controller.after && (controller.due?.(step) ?? true));
  }
}
