/** What an extraction tells of its modules: those of one name in all layers share a line. */
import { humanShare } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import { type Told, totalError } from "./extraction.ts";

const span = (values: readonly number[]): string => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
};

/** Lines of a table; `each` gives every module its own. */
export function reportOf(told: readonly Told[], each: boolean): string {
  const groups = Map.groupBy(told, ({ module }) => (each ? module : module.replace(/\.\d+(?=\.)/g, ".*")));
  const rows = [...groups].map(([name, all]) => [
    name,
    `${all.length}`,
    span(all.map(({ rank }) => rank)),
    humanShare(totalError(all)),
    humanShare(Math.max(...all.map(({ error }) => error))),
  ]);
  return table([["module", "count", "rank", "error", "largest error"], ...rows], { align: "lrrrr" });
}
