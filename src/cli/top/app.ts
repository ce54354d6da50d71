import type { ReadStream, WriteStream } from "node:tty";
import { shortId } from "../../base/ids.ts";
import type { Timer } from "../../base/clock.ts";
import { systemClock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobClient } from "../client/client.ts";
import { orderText } from "../render/order.ts";
import type { Capabilities } from "../terminal/cells.ts";
import type { FeedOptions } from "./feed.ts";
import { Feed } from "./feed.ts";
import { footerLine } from "./footer.ts";
import { JobSet } from "./job-set.ts";
import { span } from "../terminal/line.ts";
import { isStale } from "./link-state.ts";
import type { Sort } from "./order.ts";
import { Pager } from "./pager.ts";
import { press, selectedOf } from "./press.ts";
import type { JobRow } from "./row.ts";
import { Screen } from "../terminal/screen.ts";
import { rowsOf } from "./table.ts";
import { Terminal } from "../terminal/terminal.ts";
import type { Effect, Mode, Ui } from "./ui.ts";
import { newUi } from "./ui.ts";
import type { Size } from "../terminal/terminal.ts";
import type { Picture } from "./view.ts";
import { pageOf, pagerPage, pagerPicture, pagerTop, tablePicture, topFor } from "./view.ts";
import { stateName } from "../../contract/names.ts";

/** Shortest time between two frames for changes that come from the tracker; the effect of a key is drawn at once. */
const DRAW_MS = 100;

/** Ages and the clock advance at this interval, also without news from the tracker. */
const TICK_MS = 1_000;

/** See TopApp. */
export interface TopOptions extends Pick<FeedOptions, "filter" | "intervalMs"> {
  readonly client: JobClient;
  /** Only jobs in these states. Empty: all. */
  readonly states: ReadonlySet<JobState>;
  readonly sort: Sort;
  readonly showEnded: boolean;
  readonly capabilities: Capabilities;
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
}

/** `belay top` on a terminal: keys, tracker and clock change one state, which is drawn on the screen. */
export class TopApp {
  private readonly options: TopOptions;
  private readonly jobs = new JobSet();
  private readonly feed: Feed;
  private readonly terminal: Terminal;
  private readonly screen: Screen;
  private readonly over = new AbortController();
  private readonly pending = new Set<Promise<void>>();
  private ui: Ui;
  private pager: Pager | undefined;
  /** Number of the table's first row on the screen. */
  private top = 0;
  private onScreen: readonly string[] = [];
  private dirty = true;
  private timer: Timer | undefined;
  private ticking: Timer | undefined;

  constructor(options: TopOptions) {
    this.options = options;
    this.ui = newUi(options.sort, options.showEnded);
    this.feed = new Feed({
      ...options,
      jobs: this.jobs,
      visible: () => this.onScreen,
      onChange: () => this.drawSoon(),
    });
    this.terminal = new Terminal(options.stdin, options.stdout, {
      onKey: (name) => this.key(name),
      onRedraw: () => this.redraw(),
      onOpen: () => this.draw(),
      onGone: () => this.over.abort(),
    });
    this.screen = new Screen(this.terminal.size.columns, this.terminal.size.rows, options.capabilities);
  }

  /** Runs until the user quits or the signal aborts, then restores the terminal. @throws BelayError */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.over.abort();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      this.tick();
      if (this.ui.showEnded) this.feed.requestEnded();
      await this.feed.run(this.over.signal);
    } finally {
      stop();
      signal.removeEventListener("abort", stop);
      this.timer?.cancel();
      this.ticking?.cancel();
      await this.terminal.close();
      await Promise.all([this.pager?.close(), ...this.pending]);
    }
  }

  private key(name: string): void {
    const { size } = this.terminal;
    const inTable = this.ui.mode.kind !== "pager";
    const ids = this.rows(Date.now()).map(({ jobId }) => jobId);
    const text = this.pager?.text ?? { first: 0, count: 0 };
    const page = inTable ? pageOf(size) : pagerPage(size);
    const { ui, effect } = press(this.ui, name, { ids, page, text });
    this.ui = ui;
    if (effect !== undefined) this.carryOut(effect);
    this.feed.refresh();
    this.drawNow();
  }

  private carryOut(effect: Effect): void {
    switch (effect.kind) {
      case "quit":
        this.over.abort();
        return;
      case "suspend":
        this.terminal.suspend();
        return;
      case "redraw":
        this.redraw();
        return;
      case "cancel":
        this.track(this.cancel(effect.jobId, effect.reason));
        return;
      case "open":
        this.closePager();
        this.pager = new Pager(this.options.client, effect.what, effect.jobId, this.options.intervalMs, () =>
          this.drawSoon(),
        );
        return;
      case "close":
        this.closePager();
        return;
      case "load-ended":
        this.feed.requestEnded();
    }
  }

  private closePager(): void {
    if (this.pager !== undefined) this.track(this.pager.close());
    this.pager = undefined;
  }

  private async cancel(jobId: string, reason: string): Promise<void> {
    const request = { jobId, reason, commandId: shortId() };
    const { signal } = this.over;
    this.showMessage(`canceling ${jobId} …`);
    const answer = await this.options.client.once((jobs) => jobs.cancelJob(request, { signal }));
    const state = answer.job === undefined ? "" : stateName(answer.job.state);
    this.showMessage(
      answer.command === undefined
        ? `${jobId} is ${state}`
        : orderText(jobId, "cancel", answer.command, answer.agentConnected).trimEnd(),
    );
    this.feed.refresh();
  }

  private showMessage(message: string): void {
    this.ui = { ...this.ui, message };
    this.drawNow();
  }

  /** Tracks background work until it is done, and shows its errors. */
  private track(work: Promise<void>): void {
    const guarded = work
      .catch((error: unknown) => {
        if (!this.over.signal.aborted) this.showMessage(messageOf(error));
      })
      .finally(() => this.pending.delete(guarded));
    this.pending.add(guarded);
  }

  private redraw(): void {
    this.screen.reset(this.terminal.size.columns, this.terminal.size.rows);
    this.drawNow();
  }

  private tick(): void {
    this.drawNow();
    this.ticking = systemClock.after(TICK_MS, () => this.tick());
  }

  /** Draws at once: something visible has changed. */
  private drawNow(): void {
    this.dirty = true;
    this.draw();
  }

  /** Draws soon: many changes may come together. */
  private drawSoon(): void {
    this.dirty = true;
    this.timer ??= systemClock.after(DRAW_MS, () => {
      this.timer = undefined;
      this.draw();
    });
  }

  /** Draws the current state if the terminal is ready. If not, the frame is skipped, not queued. */
  private draw(): void {
    if (!this.dirty || !this.terminal.isOpen || this.over.signal.aborted) return;
    const picture = this.picture(this.terminal.size, Date.now());
    const { out, whole } = this.screen.paint(picture.lines, picture.first, this.terminal.frameSize);
    this.dirty = !whole;
    if (out !== "") this.terminal.send(out);
  }

  private rows(nowMs: number): readonly JobRow[] {
    return rowsOf(this.jobs, this.ui, this.options.states, nowMs);
  }

  private picture(size: Size, nowMs: number): Picture {
    const { mode } = this.ui;
    if (mode.kind === "pager" && this.pager !== undefined) return this.pagerPicture(mode, this.pager, size);
    const rows = this.rows(nowMs);
    const ids = rows.map(({ jobId }) => jobId);
    const selected = selectedOf(this.ui, ids);
    const at = Math.max(0, selected === undefined ? 0 : ids.indexOf(selected));
    const page = pageOf(size);
    this.ui = { ...this.ui, at };
    this.top = topFor(this.top, at, rows.length, page);
    this.show(ids.slice(this.top, this.top + page));
    const { client, intervalMs, capabilities } = this.options;
    const link = this.feed.state;
    return tablePicture(
      {
        tracker: client.tracker,
        link,
        totals: this.jobs.totals(),
        ui: this.ui,
        rows,
        selected,
        top: this.top,
        stale: isStale(link, nowMs, intervalMs),
        intervalMs,
        nowMs,
        ascii: capabilities.ascii,
        lastLine: ({ jobId }) => this.jobs.lastLine(jobId),
      },
      size,
    );
  }

  /** Requests jobs soon that have just become visible. */
  private show(ids: readonly string[]): void {
    const before = new Set(this.onScreen);
    this.onScreen = ids;
    if (ids.some((jobId) => !before.has(jobId))) this.feed.refresh();
  }

  private pagerPicture(mode: Extract<Mode, { kind: "pager" }>, pager: Pager, size: Size): Picture {
    this.onScreen = [];
    const row = this.jobs.get(pager.jobId);
    const { text, remark } = pager;
    const at = pagerTop(text, mode.place, pagerPage(size));
    const last = text.first + Math.min(text.count, at + pagerPage(size));
    const follows =
      mode.what === "info" || mode.place.top !== undefined || remark !== ""
        ? ""
        : text.count === 0
          ? "nothing printed yet"
          : "following";
    const where = text.count === 0 ? "" : `${text.first + at + 1}-${last}`;
    const right = [remark, follows, where].filter((part) => part !== "").join("  ");
    const title = [
      `${mode.what} of ${pager.jobId}`,
      row?.name ?? "",
      row === undefined ? "gone" : stateName(row.state),
    ];
    const footer = footerLine(this.ui, right, size.columns);
    return pagerPicture(
      { title: [span(title.filter((part) => part !== "").join("  "))], text, place: mode.place, footer },
      size,
    );
  }
}
