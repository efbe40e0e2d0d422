/** Recognises other kinds of files by their first bytes, so that a message can name what was given. */
import { UserError } from "../errors.ts";

/** Bytes that are enough to recognise them. */
export const SNIFF_BYTES = 64;

const CONVERT = "only files of tensors that torch.save wrote are read of pickles, since others can run code";
/** One character per byte, so that a byte order mark is "ï»¿". */
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes.subarray(0, SNIFF_BYTES));

/** Kind and advice, in the order in which they are tried. */
const KINDS: [(start: string) => boolean, string, string][] = [
  [(s) => s.startsWith("GGUF"), "a GGUF file", "GGUF is read from a file, not from a pipe or a folder"],
  [(s) => s.startsWith("\x1f\x8b"), "a gzip file", "unpack it first: gunzip"],
  [(s) => s.startsWith("\x28\xb5\x2f\xfd"), "a zstd file", "unpack it first: unzstd"],
  [(s) => isZip(s), "a zip file, as PyTorch saves pickled weights", "name the file itself, or its folder"],
  [
    (s) => s.startsWith("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"),
    "a PyTorch file in the layout before 1.6",
    "save it again with torch.save of PyTorch 1.6 or later",
  ],
  [(s) => s[0] === "\x80" && s.charCodeAt(1) >= 2 && s.charCodeAt(1) <= 5, "a pickle file", CONVERT],
  [(s) => s.startsWith("\x89HDF\r\n"), "an HDF5 file", "convert it to safetensors first"],
  [(s) => s.startsWith("\x93NUMPY"), "a NumPy file", "convert it to safetensors first"],
  [(s) => s.startsWith("PAR1"), "a Parquet file", "a model is weights; rows have an option of their own"],
  [
    (s) => s.startsWith("version https://git-lfs"),
    "a git-lfs pointer, which stands for a file that was not fetched",
    "fetch the file: git lfs pull",
  ],
  [(s) => /^\s*<(!doctype|html|\?xml)/i.test(s), "a web page", "fetch the file itself, not the page that shows it"],
  [
    (s) => /^(ï»¿)?\s*[{[]\s*["{[\]}\d]/.test(s),
    "JSON or JSONL text",
    "a model is weights, and rows have an option of their own; for a config.json name its folder",
  ],
  [(s) => /^[\s -~]{9,}$/.test(s), "text", "expected the weights of a model"],
];

/** A plausible header length of below 2^32 bytes, then "{". */
export const looksLikeSafetensors = (start: Uint8Array): boolean =>
  start.length > 8 && start[8] === 0x7b && start[4] === 0 && start[5] === 0 && start[6] === 0 && start[7] === 0;

const isZip = (start: string): boolean => start.startsWith("PK\x03\x04");

/** Whether a file is a zip archive, as torch.save writes. */
export const isZipFile = (start: Uint8Array): boolean => isZip(latin1(start));

export const isGguf = (start: Uint8Array): boolean => latin1(start).startsWith("GGUF");

/** Throws UserError that names the kind of file when its first bytes are not those of a safetensors file. */
export function refuseOtherKinds(start: Uint8Array, what: string, expected = "safetensors"): void {
  if (looksLikeSafetensors(start)) return;
  const text = latin1(start);
  for (const [test, kind, hint] of KINDS) {
    if (test(text)) throw new UserError(`${what} is ${kind}; expected ${expected}`, hint);
  }
}
