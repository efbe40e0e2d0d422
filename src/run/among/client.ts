/**
 * A client of a training among many: it takes the bytes that the server sends to all, learns, and gives the bytes of
 * its answer. Whoever carries these bytes decides nothing: in one process (train/among) or between machines the answer
 * is the same.
 */
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import { EMPTY, type Federation, type MessageDtype, type Parcel, type Tensors } from "./contract.ts";
import type { Leg, LegDone, LocalTraining, Seated } from "./local-training.ts";
import { asWritten, decodeMessage, encodeMessage } from "./message.ts";
import { updateOf } from "./tensors.ts";

export interface ClientOptions<B> {
  readonly method: Bound<Federation>;
  readonly seat: Seated<B>;
  readonly training: LocalTraining<B>;
  readonly dtype: MessageDtype;
  /** Tells runs apart; that of the server. */
  readonly run: string;
  readonly key?: Uint8Array | undefined;
  /** Whether what rounding took from a message is added to the next one. */
  readonly feedback: boolean;
}

export interface Answered extends LegDone {
  readonly bytes: Uint8Array;
  readonly round: number;
}

export class Client<B> {
  readonly #options: ClientOptions<B>;
  #kept: Parcel = EMPTY;
  /** What the last message lost in rounding. */
  #lost: Tensors = new Map();

  constructor(options: ClientOptions<B>) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.seat.name;
  }

  /** What the method and the frame keep of this client beside its training. */
  get kept(): { readonly kept: Parcel; readonly lost: Tensors } {
    return { kept: this.#kept, lost: this.#lost };
  }

  restore({ kept, lost }: { readonly kept: Parcel; readonly lost: Tensors }): void {
    this.#kept = kept;
    this.#lost = lost;
  }

  /**
   * Answers the server's message after some steps. Throws UserError for a message that is damaged or of another run,
   * and where a loss or a weight is not finite.
   */
  async answer(message: Uint8Array, leg: Leg): Promise<Answered> {
    const { method: bound, seat, training, dtype, run, key, feedback } = this.#options;
    const { method, values } = bound;
    const from = seat.name;
    const received = decodeMessage(message, `what the server sent to ${from}`, key);
    if (received.run !== run || received.kind !== "weights")
      throw new UserError(`${from} was sent a message of another run`, "start all sides with the same run");
    const { global: whole, told } = split(received);
    const { round } = received;
    const { statistics } = training;
    const global = without(whole, statistics);
    const begun = { round, global, told, kept: this.#kept };
    const start = await training.part?.begin({ ...begun, from });
    const done = await training.take(seat, start ? new Map([...whole, ...start]) : whole, leg);
    const own = await training.weights();
    const local = without(own, statistics);
    const found = (await training.part?.end?.()) ?? EMPTY;
    const { steps } = leg;
    const { rows } = seat;
    const { sent, kept } = method.answer({ ...begun, values, local, found, steps, rate: done.rate, rows, dtype });
    this.#kept = kept ?? EMPTY;
    const tensors = feedback ? this.#withLost(sent.tensors, dtype) : sent.tensors;
    const numbers = { ...sent.numbers, steps, rows, loss: done.loss };
    // Running statistics are averaged by every method alike, and are few: they travel whole.
    const besides = [...statistics].map((name) => [`${STATISTIC}${name}`, own.get(name)!] as const);
    const dtypeOf = (name: string) => (name.startsWith(STATISTIC) ? "f32" : dtype);
    const answer = { kind: "update", run, from, round, numbers, tensors: new Map([...tensors, ...besides]) };
    const bytes = encodeMessage(answer, { dtype: dtypeOf, key });
    return { ...done, bytes, round };
  }

  /** What is to be sent with what the last message lost, and remembers what this one will lose. */
  #withLost(tensors: Tensors, dtype: MessageDtype): Tensors {
    const whole = new Map(
      [...tensors].map(([name, values]) => {
        const lost = this.#lost.get(name);
        return [name, lost ? values.map((value, i) => value + lost[i]!) : values];
      }),
    );
    this.#lost = updateOf(new Map([...whole].map(([name, values]) => [name, asWritten(values, dtype)])), whole);
    return whole;
  }
}

/** Names of what the server tells besides weights begin so. */
export const TOLD = "told/";

/** Names of running statistics begin so in an answer. */
export const STATISTIC = "statistic/";

const without = (tensors: Tensors, names: ReadonlySet<string>): Tensors =>
  names.size === 0 ? tensors : new Map([...tensors].filter(([name]) => !names.has(name)));

/** Weights, and what was told besides. */
function split({ tensors, numbers }: Parcel): { global: Tensors; told: Parcel } {
  const entries = [...tensors];
  const told = entries.flatMap(([name, values]) =>
    name.startsWith(TOLD) ? [[name.slice(TOLD.length), values] as const] : [],
  );
  return {
    global: new Map(entries.filter(([name]) => !name.startsWith(TOLD))),
    told: { tensors: new Map(told), numbers },
  };
}
