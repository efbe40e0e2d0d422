/** Identifies files that are not JSONL by their first bytes, so that the message can name what they are. */
import { looksLikeSafetensors } from "../checkpoint/file-kind.ts";
import { UserError } from "../errors.ts";

/** Bytes that are enough to identify a file. */
export const SNIFF_BYTES = 64;

/** Kind and advice. Starts are compared byte by byte, one character each. */
const KINDS: [start: string, kind: string, hint: string][] = [
  ["\x1f\x8b", "a gzip file", "unpack it first: gunzip"],
  ["\x28\xb5\x2f\xfd", "a zstd file", "unpack it first: unzstd"],
  ["PK\x03\x04", "a zip file", "unpack it first: unzip"],
  ["PAR1", "a Parquet file", "Parquet is read from its end: give it as a file, not through a pipe"],
  ["GGUF", "a GGUF file", "a model goes where checkpoints go, not into the data"],
  ["ARROW1", "an Arrow file", "write its rows as JSONL, one object a line"],
  ["\xff\xfe", "UTF-16 text", "save it as UTF-8"],
  ["\xfe\xff", "UTF-16 text", "save it as UTF-8"],
  ["version https://git-lfs", "a git-lfs pointer to a file that was not fetched", "fetch it: git lfs pull"],
];

/** Throws UserError that names the kind of the file `what` when its first bytes show that it is not JSONL. */
export function refuseOtherThanRows(start: Uint8Array, what: string): void {
  const refuse = (kind: string, hint: string): never => {
    throw new UserError(`${what} is ${kind}; expected JSONL`, hint);
  };
  if (looksLikeSafetensors(start)) refuse("a safetensors file", "a model goes where checkpoints go, not into the data");
  const text = String.fromCharCode(...start.subarray(0, SNIFF_BYTES));
  for (const [first, kind, hint] of KINDS) if (text.startsWith(first)) refuse(kind, hint);
  if (/^\s*<(!doctype|html|\?xml)/i.test(text))
    refuse("a web page", "fetch the file itself, not the page that shows it");
  if (/^(ï»¿)?\s*\[/.test(text)) refuse("a JSON array", "write one object a line: jq -c '.[]' rows.json > rows.jsonl");
  if (text.includes("\0")) refuse("a binary file", "write its rows as JSONL, one object a line");
}
