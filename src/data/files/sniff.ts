/** Identifies files that hold no rows by their first bytes, so that the message can name what they are. */
import { looksLikeSafetensors } from "../../checkpoint/file-kind.ts";
import { UserError } from "../../errors.ts";
import { SNIFF_BYTES } from "./bytes.ts";

/** Kind and advice. Starts are compared byte by byte, one character each. */
const KINDS: [start: string, kind: string, hint: string][] = [
  ["\x1f\x8b", "a gzip file", "it is packed twice: unpack it first with gunzip"],
  ["\x28\xb5\x2f\xfd", "a zstd file", "it is packed twice: unpack it first with unzstd"],
  ["PK\x03\x04", "a zip file", "unpack it first: unzip"],
  ["BZh", "a bzip2 file", "unpack it first: bunzip2"],
  ["\xfd7zXZ", "an xz file", "unpack it first: unxz"],
  [
    "PAR1",
    "a Parquet file",
    "Parquet is read from its end: give it as a file that is not packed, and not through a pipe",
  ],
  ["GGUF", "a GGUF file", "a model goes where checkpoints go, not into the data"],
  ["ARROW1", "an Arrow file", "write its rows as JSON lines or Parquet"],
  ["\xff\xfe", "UTF-16 text", "save it as UTF-8"],
  ["\xfe\xff", "UTF-16 text", "save it as UTF-8"],
  ["version https://git-lfs", "a git-lfs pointer to a file that was not fetched", "fetch it: git lfs pull"],
];

const textOf = (start: Uint8Array): string => String.fromCharCode(...start.subarray(0, SNIFF_BYTES));

/** Throws UserError that names the kind of the file `what` when its first bytes show that it holds no rows. */
export function refuseOtherThanRows(start: Uint8Array, what: string): void {
  const refuse = (kind: string, hint: string): never => {
    throw new UserError(`${what} is ${kind}; expected rows`, hint);
  };
  if (looksLikeSafetensors(start)) refuse("a safetensors file", "a model goes where checkpoints go, not into the data");
  const text = textOf(start);
  for (const [first, kind, hint] of KINDS) if (text.startsWith(first)) refuse(kind, hint);
  if (/^\s*<(!doctype|html|\?xml)/i.test(text))
    refuse("a web page", "fetch the file itself, not the page that shows it");
  if (text.includes("\0")) refuse("a binary file", "write its rows as JSON lines, one object a line");
}

/** Whether text begins as a JSON list does. */
export const isJsonList = (start: Uint8Array): boolean => /^(ï»¿)?\s*\[/.test(textOf(start));
