/**
 * What a method of training among many is: clients learn from rows of their own, and a server makes one model of what
 * they send. It says what a client sends after its steps and what the server makes of it, and knows nothing of how
 * messages travel: in one process (train/among) or between machines.
 *
 *   server   weights, and what it tells besides                ->  every client of the round
 *   client   begins at these weights, takes some local steps,  ->  server: tensors and numbers
 *            and keeps what is its own
 *   server   what arrived, and what it kept                    ->  new weights
 *
 * Both sides are functions of values: the same messages give the same bytes. Arithmetic is in f64, results are f32.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Laws } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { UpdateRule } from "../training/update-rule.ts";

export type Tensors = ReadonlyMap<string, Float32Array>;
export type Numbers = Readonly<Record<string, number>>;

/** Named tensors and numbers: what goes over the line, and what either side keeps from round to round. */
export interface Parcel {
  readonly tensors: Tensors;
  readonly numbers: Numbers;
}

export const EMPTY: Parcel = { tensors: new Map(), numbers: {} };

/** How the values of tensors are written in a message: int8 with a scale for every 256 values. */
export const MESSAGE_DTYPES = ["f32", "bf16", "int8"] as const;
export type MessageDtype = (typeof MESSAGE_DTYPES)[number];

/** What a client knows when a round begins. */
export interface RoundBegun {
  /** From 0. */
  readonly round: number;
  /** Weights as they came; by name, with running statistics. */
  readonly global: Tensors;
  /** What the server told besides. */
  readonly told: Parcel;
  /** What this client kept from its last round; empty before its first. */
  readonly kept: Parcel;
}

/** What a client knows when its steps are done. */
export interface ClientRound<O extends Options = Options> extends RoundBegun {
  readonly values: Values<O>;
  readonly local: Tensors;
  /** What the local part found on its way. */
  readonly found: Parcel;
  /** Local steps that were taken, at which mean rate. */
  readonly steps: number;
  readonly rate: number;
  /** Rows that the client has. */
  readonly rows: number;
  /** How the tensors will be written. */
  readonly dtype: MessageDtype;
}

export interface ClientAnswer {
  readonly sent: Parcel;
  readonly kept?: Parcel;
}

/** What came from a client. */
export interface Arrival {
  readonly from: string;
  /** The round whose weights it began with. */
  readonly round: number;
  readonly steps: number;
  readonly rows: number;
  readonly sent: Parcel;
}

export interface ServerRound<O extends Options = Options> {
  readonly values: Values<O>;
  readonly round: number;
  readonly global: Tensors;
  readonly kept: Parcel;
  /** One for each client at most, in the order of their names. */
  readonly arrivals: readonly Arrival[];
  /** Names of all clients, with those that sent nothing. */
  readonly clients: readonly string[];
  /** What is known of the pace of clients; undefined where the server waits for all that were asked. */
  readonly pace?: Pace | undefined;
}

/** When the server acts, and how long clients take. */
export interface Pace {
  readonly clock: "interval" | "each" | "buffer";
  readonly interval: number;
  /** Time of a client's local steps, by its name. */
  readonly times: Numbers;
  /** Share of the server's steps that a client takes part in, by its name. */
  readonly rates: Numbers;
}

export interface ServerAnswer {
  readonly global: Tensors;
  readonly kept?: Parcel;
  /** What clients are told in the next round, besides weights. */
  readonly told?: Parcel;
  /** For the log. */
  readonly metrics?: Numbers;
}

/** What changes local steps, between the gradients and the weights of a client. One serves all clients of a process. */
export interface LocalPart {
  /** Before the first step of a client's round; may give weights to begin at, in the place of those that came. */
  begin(round: RoundBegun & { readonly from: string }): Promise<Tensors | undefined> | Tensors | undefined;
  readonly updates?: readonly UpdateRule[];
  /** What the rate of the next steps is multiplied by; 1 when left out. */
  rate?(): number;
  /** After the last step of the round: what `answer` gets as `found`. */
  end?(): Promise<Parcel>;
  /** Bytes that it holds on the GPU. */
  readonly bytes?: number;
  free?(): void;
}

export interface LocalSetup<O extends Options = Options> {
  readonly gpu: Gpu;
  /** All that is trained and shared. */
  readonly parameters: readonly Parameter[];
  readonly values: Values<O>;
  readonly seed: number;
}

/** What may hold for a method, under its defaults. */
export const FEDERATION_LAWS = {
  still: "clients that do not move leave the weights where they are",
  agree: "clients of one round that end at the same weights give these",
  order: "who arrives first does not matter",
} as const;
export type FederationLaw = keyof typeof FEDERATION_LAWS;

export interface Federation<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<FederationLaw>;
  /** How tensors are written where no option says. */
  readonly dtype: MessageDtype;
  /** Whether clients may send what they made of weights of an earlier round. */
  readonly late?: true;
  /** Whether clients that no one asks go on with what they were last sent. */
  readonly restless?: true;
  /** Throws UserError for values that do not go together. */
  check?(values: Values<O>): void;
  /** What changes local steps; nothing when left out. */
  local?(setup: LocalSetup<O>): Promise<LocalPart> | LocalPart;
  answer(given: ClientRound<O>): ClientAnswer;
  server(given: ServerRound<O>): ServerAnswer;
}

export const defineFederation = <const O extends Options>(method: Federation<O>): Federation<O> => method;

declare module "../../method/registry.ts" {
  interface Contracts {
    federation: Federation;
  }
}
