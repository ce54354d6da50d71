/**
 * Whether a terminal must get only ASCII: its locale, according to the variables of POSIX, is not UTF-8, or it is a
 * dumb terminal.
 */
export function asciiOnly(env: Readonly<Record<string, string | undefined>>): boolean {
  if (env["TERM"] === "dumb") return true;
  const locale = [env["LC_ALL"], env["LC_CTYPE"], env["LANG"]].find((value) => value !== undefined && value !== "");
  return !/utf-?8/i.test(locale ?? "");
}
