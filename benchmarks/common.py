"What the benchmarks share: the machine in a line, and the shortest times of several."
import os
import platform
from time import perf_counter, process_time


def machine(*modules):
    "Processor, cores, Python, and the versions of the given modules, in one line."
    try: cpu = next(line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name'))
    except (OSError, StopIteration): cpu = platform.processor() or platform.machine()
    versions = ''.join(f', {m.__name__} {m.__version__}' for m in modules)
    return f'{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}{versions}'


def clock(function, *args, repeats=1):
    "The result, and the shortest time in seconds."
    times = []
    for _ in range(repeats):
        start = perf_counter()
        result = function(*args)
        times.append(perf_counter() - start)
    return result, min(times)


def take_turns(functions, rounds=8):
    "The shortest wall and processor seconds of each function by name: what others do on the machine only adds to them."
    for f in functions.values(): f()
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, f in functions.items():
            start = perf_counter(), process_time()
            f()
            times[name].append((perf_counter() - start[0], process_time() - start[1]))
    return {name: tuple(map(min, zip(*ts))) for name, ts in times.items()}
