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

The page is one file that makes no request. Open it from the disk, or put it on any server that speaks https.
`;

/** What the command line asks for. Throws UserError for what there is not. */
function asked(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        out: { type: "string", short: "o", default: join("dist", "web") },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.out === "") throw new UserError("--out is empty", "name a folder: -o dist/web/");
    return values;
  } catch (error) {
    if (error instanceof UserError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new UserError(message.split(". ")[0] ?? message, "the options are --out FOLDER and --help");
  }
}

/** Builds the page with the arguments of `web`; gives the exit code. */
export async function buildPage(args: readonly string[]): Promise<number> {
  try {
    const { out, help } = asked(args);
    if (help) process.stdout.write(asLaunched(HELP));
    else {
      const { file, bytes } = await writePage(out);
      process.stdout.write(`${file} (${humanBytes(bytes)})\n`);
    }
    return 0;
  } catch (error) {
    return explain("web", error);
  }
}
