// A rule of this project for oxlint, which loads this file by .oxlintrc.json.
import { dirname, join, relative, sep } from "node:path";
import { arrowProblem, readRooms } from "./rooms.ts";

/** The part of a node of the syntax tree that is read here (ESTree). */
interface ImportNode {
  readonly source?: { readonly type?: string; readonly value?: unknown } | null;
}
/** The part of oxlint's rule context that is used here; it is ESLint's. */
interface RuleContext {
  readonly filename: string;
  readonly cwd: string;
  report(problem: { readonly node: unknown; readonly message: string }): void;
}

/** Fails for an import between rooms that docs/architecture.md does not name. */
const arrows = {
  create(context: RuleContext) {
    const source = join(context.cwd, "src");
    const from = relative(source, context.filename).split(sep).join("/");
    if (from.startsWith("..")) return {};
    const rooms = readRooms(context.cwd);
    const check = (node: ImportNode): void => {
      const specifier = node.source?.value;
      if (typeof specifier !== "string" || !specifier.startsWith(".")) return;
      const to = relative(source, join(dirname(context.filename), specifier))
        .split(sep)
        .join("/");
      const message = to.startsWith("..") ? `"${to}" is outside src` : arrowProblem(rooms, from, to);
      if (message !== undefined) context.report({ node: node.source, message });
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
      TSImportType: check,
    };
  },
};

const plugin: { readonly meta: object; readonly rules: object } = { meta: { name: "rooms" }, rules: { arrows } };
export default plugin;
