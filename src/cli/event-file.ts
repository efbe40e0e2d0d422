/**
 * Figures of a run as TensorBoard reads them: a file of records, each an `Event` of protocol buffers.
 *
 *   record  length as uint64, its masked CRC32C, the event, the event's masked CRC32C; all little-endian
 *   mask    ((crc >> 15 | crc << 17) + 0xa282ead8) mod 2^32
 *   event   1: wall_time double, 2: step int64, 3: file_version string, 5: summary
 *   summary 1: value, which has 1: tag string, 2: simple_value float
 *
 * https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto, and record_writer.h of
 * TensorFlow for records.
 */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import crc32c from "crc-32/crc32c.js";
import { UserError } from "../errors.ts";
import { writeAll } from "./stderr.ts";

const VERSION = "brain.Event:2";

type Event = Readonly<Record<string, unknown>>;

/** Keys of a log's line that are no figures. */
const PLACES = new Set(["event", "step", "seconds", "epoch", "run"]);

/** An unsigned number, seven bits a byte. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Buffer.from([...bytes, rest]);
}

const double = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes[0] = field * 8 + 1;
  bytes.writeDoubleLE(value, 1);
  return bytes;
};

const float = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes[0] = field * 8 + 5;
  bytes.writeFloatLE(value, 1);
  return bytes;
};

const whole = (field: number, value: number): Buffer => Buffer.concat([Buffer.from([field * 8]), varint(value)]);

const bytesOf = (field: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([field * 8 + 2]), varint(value.length), value]);

/** Figures of one step as an event. */
export function scalarsEvent(time: number, step: number, figures: readonly (readonly [string, number])[]): Buffer {
  const values = figures.map(([tag, value]) =>
    bytesOf(1, Buffer.concat([bytesOf(1, Buffer.from(tag)), float(2, value)])),
  );
  return Buffer.concat([double(1, time), whole(2, step), bytesOf(5, Buffer.concat(values))]);
}

const masked = (bytes: Buffer): number => {
  const crc = crc32c.buf(bytes) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** An event as a record of a file. */
export function recordOf(event: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(event.length));
  head.writeUInt32LE(masked(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(masked(event));
  return Buffer.concat([head, event, tail]);
}

/** Numbers of an object, those of objects in it under KEY/INNER. */
function numbersOf(object: object, path = ""): [string, number][] {
  return Object.entries(object).flatMap(([key, value]): [string, number][] => {
    if (path === "" && PLACES.has(key)) return [];
    if (typeof value === "number") return Number.isFinite(value) ? [[path + key, value]] : [];
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? numbersOf(value, `${path}${key}/`)
      : [];
  });
}

/** The figures of a line of a log: of a step, of an evaluation or a probe on the way; none of other lines. */
export function figuresOf(event: Event): [string, number][] {
  const { event: kind, name, group, value, probe } = event;
  if (kind === "step") return numbersOf(event);
  if (kind === "eval" && typeof value === "number" && Number.isFinite(value))
    return [[["eval", name, ...(group === undefined ? [] : [group])].join("/"), value]];
  if (kind !== "probe") return [];
  return numbersOf(event).map(([key, own]) => [`${probe}/${key}`, own]);
}

/** Hears the lines of a log. */
export interface EventFile {
  take(event: Event): void;
  close(): void;
}

/**
 * A new file of a run in a folder, which is made where it is not there. `began`: milliseconds since 1970; lines say
 * their seconds since then. Throws UserError where it cannot be written.
 */
export function openEventFile(folder: string, run: string, began: number): EventFile {
  const start = began / 1000;
  const file = join(folder, `events.out.tfevents.${Math.floor(start)}.${run}`);
  const reach = <T>(action: () => T, exitCode: number): T => {
    try {
      return action();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new UserError(`--tensorboard: ${file} cannot be written (${code})`, "choose another folder", exitCode);
    }
  };
  const fd = reach(() => {
    mkdirSync(folder, { recursive: true });
    return openSync(file, "wx");
  }, 2);
  const add = (event: Buffer) => reach(() => writeAll(fd, recordOf(event)), 1);
  add(Buffer.concat([double(1, start), bytesOf(3, Buffer.from(VERSION))]));
  let after = 0; // seconds that the last line with a time had: an evaluation belongs to the step before it
  return {
    take(event) {
      const figures = figuresOf(event);
      const { step, seconds } = event;
      if (typeof seconds === "number") after = seconds;
      if (figures.length === 0 || typeof step !== "number") return;
      add(scalarsEvent(start + after, step, figures));
    },
    close: () => closeSync(fd),
  };
}
