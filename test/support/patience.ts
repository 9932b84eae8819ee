// Knows how much longer than on real hardware tests wait for what will come: in an emulated machine all takes longer (test/vm/run).

const slower = Number(process.env.NSVIEW_TEST_SLOWER ?? 1);

/** As many milliseconds on this machine. */
export const patient = (milliseconds: number): number => milliseconds * slower;
