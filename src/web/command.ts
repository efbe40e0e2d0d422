/** What `web` does: it writes the page into a folder. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { explain } from "../cli/explain.ts";
import { UserError } from "../errors.ts";
import { asLaunched } from "../launcher.ts";
import { humanBytes } from "../text/format.ts";
import { writePage } from "./build.ts";

const HELP = `Build the page that merges safetensors files in a browser

  bun run web [-o FOLDER]

  -o, --out FOLDER   where index.html is written; dist/web/ when left out
  -h, --help         this text

The page is one file that asks nobody for anything: open it from the disk, or
put it on any server that speaks https.
`;

/** The folder that the command line names. Throws UserError for what there is not. */
function folderOf(args: readonly string[]): string {
  let out: string;
  try {
    const options = { out: { type: "string", short: "o", default: join("dist", "web") } } as const;
    out = parseArgs({ args: [...args], options }).values.out;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new UserError(message.split(". ")[0] ?? message, "the options are --out FOLDER and --help");
  }
  if (out === "" || out === "-")
    throw new UserError(`--out ${out || "is empty"}: no folder`, "for example -o dist/web/");
  return out;
}

/** Builds the page with the arguments of `web`; gives the exit code. */
export async function buildPage(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(asLaunched(HELP));
    return 0;
  }
  try {
    const { file, bytes } = await writePage(folderOf(args));
    process.stdout.write(`${file} (${humanBytes(bytes)})\n`);
    return 0;
  } catch (error) {
    return explain("web", error);
  }
}
