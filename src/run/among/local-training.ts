/**
 * The local steps of clients, by one training in one process: a client sits down with the weights that it was sent and
 * with its own state (of the optimizer, its order of rows, what else its training remembers), takes its steps and
 * leaves. Its state stays on the device until another client sits down, so a process with one client copies nothing.
 */
import { decodeFloats } from "../../checkpoint/decode.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { BatchSource } from "../training/batch-source.ts";
import type { RunOptions } from "../training/loop.ts";
import type { Training } from "../training/train-model.ts";
import type { StepResult } from "../training/trainer.ts";
import { copyState, type SavedTraining } from "../training/training-state.ts";
import type { LocalPart, Tensors } from "./contract.ts";
import type { Seats } from "./seats.ts";

/** Who trains on rows of its own. */
export interface Seated<B> {
  readonly name: string;
  readonly source: BatchSource<B>;
  readonly rows: number;
}

export interface Leg extends Pick<RunOptions, "signal" | "log" | "logEvery" | "warn"> {
  /** Steps of the schedule that are over when it begins. */
  readonly scheduled: number;
  readonly steps: number;
  /** Whether the optimizer begins anew. */
  readonly fresh: boolean;
  readonly onStep?: (result: StepResult) => void;
}

export interface LegDone {
  /** Of the last step, and means over all of them. */
  readonly last: StepResult;
  readonly loss: number;
  readonly rate: number;
}

const floatsOf = (gpu: Gpu, { buffer, dtype, size, bytes }: Parameter): Promise<Float32Array> =>
  gpu.read(buffer, 0, Math.ceil(bytes / 4) * 4, (view) =>
    decodeFloats(view.slice(0, size * (dtype === "bf16" ? 2 : 4)), dtype === "bf16" ? "BF16" : "F32"),
  );

export class LocalTraining<B> {
  /** What changes local steps; it is one of the training's updates. */
  readonly part: LocalPart | undefined;
  readonly #training: Training<B>;
  readonly #model: Model;
  readonly #seats: Seats<B>;
  readonly #shared: readonly Parameter[];
  readonly #states = new Map<string, SavedTraining>();
  #seated: Seated<B> | undefined;
  #start: SavedTraining | undefined;

  /** Throws UserError for weights that clients cannot exchange. */
  constructor(training: Training<B>, model: Model, seats: Seats<B>, part?: LocalPart) {
    this.#training = training;
    this.#model = model;
    this.#seats = seats;
    this.part = part;
    this.#shared = sharedOf(model);
  }

  /** Names of running statistics among what is shared. */
  get statistics(): ReadonlySet<string> {
    return new Set(this.#model.running().map(({ name }) => name));
  }

  /** The shared weights as they are. */
  async weights(): Promise<Tensors> {
    const { gpu } = this.#model;
    const read: [string, Float32Array][] = [];
    for (const parameter of this.#shared) read.push([parameter.name, await floatsOf(gpu, parameter)]);
    return new Map(read);
  }

  /** Sets the shared weights. Throws UserError where others than these are given. */
  set(tensors: Tensors): void {
    const odd = [...tensors.keys()].find((name) => !this.#shared.some((own) => own.name === name));
    if (odd !== undefined) throw new UserError(`no weight here is called ${odd}`, "all sides train one model");
    for (const parameter of this.#shared) {
      const values = tensors.get(parameter.name);
      if (values?.length !== parameter.size)
        throw new UserError(
          `${parameter.name} has ${parameter.size} values here, and ${values?.length ?? "none"} were sent`,
          "all sides train one model",
        );
      parameter.write(parameter.dtype === "bf16" ? bf16Words(values) : values);
    }
  }

  /** Lets a client sit down, with its state as it left it. */
  async #sit(client: Seated<B>, { fresh, scheduled }: Leg): Promise<void> {
    const { gpu } = this.#model;
    const training = this.#training;
    this.#start ??= await copyState(gpu, training.state());
    if (this.#seated === client && !fresh) {
      this.#seats.sit(client.source, training.step, scheduled);
      return;
    }
    if (this.#seated) this.#states.set(this.#seated.name, await copyState(gpu, training.state()));
    const left = fresh ? undefined : this.#states.get(client.name);
    const order = structuredClone(client.source.state());
    const saved = left ?? { ...this.#start, progress: { ...this.#start.progress, order } };
    this.#seats.sit(client.source, saved.progress.step, scheduled);
    await training.load(saved);
    this.#seated = client;
  }

  /** Takes a client's steps from these weights; `weights` are then its own. Throws UserError where a loss is lost. */
  async take(client: Seated<B>, global: Tensors, leg: Leg): Promise<LegDone> {
    await this.#sit(client, leg);
    this.set(global);
    this.#seats.rate = this.part?.rate?.() ?? 1;
    const training = this.#training;
    const sums = { loss: 0, rate: 0, steps: 0 };
    const { signal, log, logEvery, warn } = leg;
    const { last } = await training.run({
      ...{ signal, name: client.name, until: training.step + leg.steps },
      ...(log ? { log } : {}),
      ...(logEvery === undefined ? {} : { logEvery }),
      ...(warn ? { warn } : {}),
      onStep(result) {
        sums.loss += result.metrics.loss!;
        sums.rate += result.lr;
        sums.steps++;
        leg.onStep?.(result);
      },
    });
    signal.throwIfAborted();
    if (!last) throw new RangeError(`${client.name} took no step`);
    return { last, loss: sums.loss / sums.steps, rate: sums.rate / sums.steps };
  }
}

/** What clients share: all that the model trains, and running statistics. */
export function sharedOf(model: Model): readonly Parameter[] {
  const shared = [...model.trainable(), ...model.running()];
  const paged = shared.find(({ pages }) => pages);
  if (paged)
    throw new UserError(
      `${paged.name} takes turns on the device, and clients exchange whole weights`,
      "leave out --expert-store stream",
    );
  return shared;
}

/** Nearest bf16 of values that are bf16, or between two. */
function bf16Words(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (each) => (each + 0x7fff + ((each >>> 16) & 1)) >>> 16);
}
