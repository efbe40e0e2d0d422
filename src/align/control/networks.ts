/** Networks of an earlier run, as `align control` wrote them, to begin with. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { readNetworks } from "../../run/small-nets/file.ts";
import type { Mlp, NamedTensor } from "../../run/small-nets/mlp.ts";

export class Networks {
  /** Closed; for lineage. */
  readonly checkpoint: Checkpoint;
  readonly #tensors: ReadonlyMap<string, NamedTensor>;

  private constructor(checkpoint: Checkpoint, tensors: ReadonlyMap<string, NamedTensor>) {
    this.checkpoint = checkpoint;
    this.#tensors = tensors;
  }

  /** Reads a file. Throws UserError where it holds no policy of `align control`. */
  static async read(ref: string): Promise<Networks> {
    const { checkpoint, tensors } = await readNetworks(ref, {
      wanted: "policy.0.weight",
      what: "policy of small networks",
      hint: "give a result of bun run align control",
    });
    return new Networks(checkpoint, tensors);
  }

  /** Gives a network the weights of that name. Throws UserError where they do not fit. */
  fill(net: Mlp, name: string): void {
    net.fill(name, this.#tensors, this.checkpoint.ref);
  }

  /** Throws UserError for a family where one policy is to be, and the other way round. */
  checkFamily(wanted: boolean): void {
    const isFamily = this.#tensors.has("balance.0.weight");
    if (isFamily !== wanted)
      throw new UserError(
        `${this.checkpoint.ref} holds ${isFamily ? "a family of policies" : "one policy, and no family"}`,
        isFamily ? "awr takes it, with --family" : "leave --family out",
      );
  }
}
