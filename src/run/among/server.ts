/**
 * The server of a training among many: it has the weights, gives the bytes that all clients of a round are sent, and
 * makes new weights of the bytes of their answers. All that it knows is its state, so a server that comes back from it
 * goes on as if it had stayed.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Bound } from "../../method/bind.ts";
import { STATISTIC, TOLD } from "./client.ts";
import {
  type Arrival,
  EMPTY,
  type Federation,
  type Numbers,
  type Pace,
  type Parcel,
  type Tensors,
} from "./contract.ts";
import { decodeMessage, encodeMessage, type Message } from "./message.ts";
import { sharesOf, weightedSum } from "./tensors.ts";

export interface ServerOptions {
  readonly method: Bound<Federation>;
  /** Names of all clients. */
  readonly clients: readonly string[];
  readonly run: string;
  readonly key?: Uint8Array | undefined;
  readonly pace?: Pace | undefined;
}

/** All that a server knows. */
export interface ServerState {
  readonly round: number;
  readonly global: Tensors;
  readonly kept: Parcel;
  readonly told: Parcel;
}

/** What a round gave. */
export interface RoundDone {
  readonly round: number;
  /** Of whom. */
  readonly from: readonly string[];
  /** Mean loss of the clients' steps. */
  readonly loss: number;
  readonly metrics: Numbers;
}

export class Server {
  readonly #options: ServerOptions;
  #state: ServerState;

  /** Begins with weights, or goes on from a state. */
  constructor(options: ServerOptions, begin: Tensors | ServerState) {
    this.#options = options;
    this.#state = "global" in begin ? begin : { round: 0, global: begin, kept: EMPTY, told: EMPTY };
  }

  get state(): ServerState {
    return this.#state;
  }

  /** Goes on from a state. Throws UserError for one of other weights. */
  restore(state: ServerState): void {
    const odd = [...this.#state.global].find(([name, { length }]) => state.global.get(name)?.length !== length);
    if (odd || state.global.size !== this.#state.global.size)
      throw new UserError(
        `a saved state has other weights than this model: ${odd?.[0] ?? "there are more of them"}`,
        "all sides train one model",
      );
    this.#state = state;
  }

  /** What clients that begin now are sent. */
  message(): Uint8Array {
    const { run, key } = this.#options;
    const { round, global, told } = this.#state;
    const besides = [...told.tensors].map(([name, values]) => [`${TOLD}${name}`, values] as const);
    const tensors = new Map([...global, ...besides]);
    return encodeMessage({ kind: "weights", run, from: "server", round, numbers: told.numbers, tensors }, { key });
  }

  /** Reads an answer. Throws UserError for one that is damaged, or not of a client of this run. */
  read(bytes: Uint8Array, what = "an answer"): Message {
    const { run, key, clients, method } = this.#options;
    const message = decodeMessage(bytes, what, key);
    const { from, round } = message;
    if (message.kind !== "update" || message.run !== run)
      throw new UserError(`${what} is of another run`, "start all sides with the same run");
    if (!clients.includes(from)) throw new UserError(`${what} is of ${show(from)}, who is no client of this run`);
    if (round > this.#state.round || (round < this.#state.round && !method.method.late))
      throw new UserError(`${what} of ${from} is of round ${round}, and this is round ${this.#state.round}`);
    return message;
  }

  /**
   * Makes new weights of answers, in whatever order they came. The same answer twice counts once. Throws UserError as
   * `read` does, and where none is given.
   */
  take(answers: readonly Uint8Array[]): RoundDone {
    const { method: bound, clients, pace } = this.#options;
    const { method, values } = bound;
    const { round, global, kept } = this.#state;
    const read = new Map(answers.map((bytes) => this.read(bytes)).map((message) => [message.from, message]));
    const messages = [...read.values()].sort((a, b) => clients.indexOf(a.from) - clients.indexOf(b.from));
    if (messages.length === 0) throw new UserError("no client has answered", "wait for one at least");
    const arrivals = messages.map(arrivalOf);
    const statistics = meanStatistics(messages);
    const weights = new Map([...global].filter(([name]) => !statistics.has(name)));
    const made = method.server({ values, round, global: weights, kept, arrivals, clients, pace });
    const whole = new Map([...global.keys()].map((name) => [name, statistics.get(name) ?? made.global.get(name)!]));
    this.#state = { round: round + 1, global: whole, kept: made.kept ?? EMPTY, told: made.told ?? EMPTY };
    const loss = messages.reduce((sum, { numbers }) => sum + numbers.loss! / messages.length, 0);
    return { round, from: messages.map(({ from }) => from), loss, metrics: made.metrics ?? {} };
  }
}

/** Throws UserError for an answer that does not say how it came about. */
function arrivalOf({ from, round, numbers, tensors }: Message): Arrival {
  const { steps, rows, loss, ...others } = numbers;
  if (steps === undefined || rows === undefined || loss === undefined)
    throw new UserError(`the answer of ${from} says not how many steps and rows it is of`);
  const sent = new Map([...tensors].filter(([name]) => !name.startsWith(STATISTIC)));
  return { from, round, steps, rows, sent: { tensors: sent, numbers: others } };
}

/** Running statistics of the clients, averaged by their rows; empty where the model has none. */
function meanStatistics(messages: readonly Message[]): Tensors {
  const shares = sharesOf(messages.map(({ numbers }) => numbers.rows ?? 0));
  const own = messages.map(({ tensors }) => {
    const found = [...tensors].filter(([name]) => name.startsWith(STATISTIC));
    return new Map(found.map(([name, values]) => [name.slice(STATISTIC.length), values]));
  });
  return weightedSum(shares, own);
}
