"""Runs PTX without a GPU, as its manual describes the instructions: one block at a time, all threads as lanes of arrays.

Of the threads that do not wait at a barrier, those with the lowest instruction go next, which brings branches together again
at the earliest place. Instructions of whole warps (exchanges, products of tensor cores) find it an error when a lane is
missing; loads and stores when they leave their buffers or begin at another place than a multiple of their size. It knows what
the kernels of attention use, and says so of everything else.
"""

import re

import numpy

WORD, LONG = numpy.uint64(0xFFFFFFFF), numpy.uint64(0xFFFFFFFFFFFFFFFF)
LEAST = numpy.float32(1.17549435e-38)
BYTES = {"u16": 2, "b16": 2, "u32": 4, "b32": 4, "f32": 4, "u64": 8, "b64": 8}
COMPARE = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}


class Fault(Exception):
    """What a device would not do, or what this machine does not know."""


def floats(values):
    return values.astype(numpy.uint32).view(numpy.float32)


def bits(values):
    return numpy.asarray(values, numpy.float32).view(numpy.uint32).astype(numpy.uint64)


def flushed(values):
    """Denormal numbers as zeros of their sign."""
    values = numpy.array(values, numpy.float32)
    values[numpy.abs(values) < LEAST] *= 0
    return values


def fused(a, b, c, down):
    """a · b + c, rounded to the nearest or down. The product is exact in 64 bits."""
    exact = a.astype("f8") * b.astype("f8") + c.astype("f8")
    nearest = exact.astype("f4")
    below = numpy.nextafter(nearest, numpy.float32(-numpy.inf))
    return numpy.where(down & (nearest.astype("f8") > exact), below, nearest)


def brain(values):
    """The nearest bf16, ties to even; what is no number is the one that the device has."""
    words = values.astype(numpy.uint64) & WORD
    rounded = (words + numpy.uint64(0x7FFF) + (words >> numpy.uint64(16) & numpy.uint64(1))) >> numpy.uint64(16)
    return numpy.where(numpy.isnan(floats(values)), numpy.uint64(0x7FFF), rounded)


def of_brain(halves):
    return (halves.astype(numpy.uint32) << numpy.uint32(16)).view(numpy.float32).astype("f8")


class Program:
    """One entry of a module: parameters, shared memory, instructions."""

    def __init__(self, text, entry):
        start = re.search(rf"\.entry\s+{entry}\(", text)
        if not start:
            raise Fault(f"there is no entry {entry}")
        head, _, rest = text[start.start():].partition("{")
        depth, end = 1, 0
        while depth:
            depth += {"{": 1, "}": -1}.get(rest[end], 0)
            end += 1
        body = re.sub(r"//.*", "", rest[:end - 1])
        self.parameters = re.findall(r"\.param \.\w+ (\w+)", head)
        self.shared, self.shared_bytes = {}, 0
        for alignment, name, size in re.findall(r"\.shared \.align (\d+) \.b8 (\S+?)\[(\d+)\];", body):
            place = -(-self.shared_bytes // int(alignment)) * int(alignment)
            self.shared[name], self.shared_bytes = place, place + int(size)
        self.instructions, self.labels = [], {}
        body = re.sub(r"(?m)^\s*\.(shared|reg|pragma)[^;]*;", "", body)
        for statement in re.split(r";|(?<=:)\s", re.sub(r"(\$L\w+):", r"\1: ", body)):
            self.add(re.sub(r"\s+", " ", statement).strip())

    def add(self, statement):
        if statement.endswith(":"):
            self.labels[statement[:-1]] = len(self.instructions)
        elif statement:
            guard = re.match(r"@(!?)(%p\d+) (.*)", statement)
            statement = guard[3] if guard else statement
            name, _, operands = statement.partition(" ")
            parts = re.findall(r"(?:\{[^}]*\}|\[[^\]]*\]|[^,])+", operands)
            self.instructions.append((guard and (guard[1] == "!", guard[2]), name.split("."), [part.strip() for part in parts]))


class Block:
    """The threads of one block."""

    def __init__(self, program, arguments, memory, threads, block, blocks):
        self.program, self.memory, self.threads = program, memory, threads
        self.parameters = dict(zip(program.parameters, arguments, strict=True))
        self.special = {"%tid.x": numpy.arange(threads, dtype=numpy.uint64), "%ntid.x": self.same(threads),
                        "%ctaid.x": self.same(block), "%nctaid.x": self.same(blocks)}
        self.registers, self.shared = {}, numpy.full(program.shared_bytes, 0xFF, numpy.uint8)
        self.sent = [[] for _ in range(threads)]

    def same(self, value):
        return numpy.full(self.threads, value & 0xFFFFFFFFFFFFFFFF, numpy.uint64)

    def run(self):
        """Runs all threads to their end; returns the instructions that were issued."""
        at, ended, issued = numpy.zeros(self.threads, int), numpy.zeros(self.threads, bool), 0
        while not ended.all():
            waiting = numpy.array([self.program.instructions[place][1][0] == "bar" for place in at])
            ready = ~ended & ~waiting
            if not ready.any():
                if ended.any() or len(set(at)) > 1:
                    raise Fault("threads wait at a barrier that others do not come to")
                at += 1
                continue
            place = at[ready].min()
            together = ready & (at == place)
            guard, name, operands = self.program.instructions[place]
            acting = together.copy()
            if guard:
                acting &= self.value(guard[1]).astype(bool) != guard[0]
            at[together] += 1
            if name[0] == "bra":
                at[acting] = self.program.labels[operands[0]]
            elif name[0] == "ret":
                ended |= acting
            else:
                self.step(name, operands, acting)
            issued += 1
        return issued

    def value(self, operand):
        if operand in self.special:
            return self.special[operand]
        if operand.startswith("%"):
            return self.registers.setdefault(operand, self.same(0))
        if operand in self.program.shared:
            return self.same(self.program.shared[operand])
        return self.same(int(operand[2:], 16) if operand.startswith("0f") else int(operand, 0))

    def put(self, register, values, acting):
        self.value(register)[acting] = numpy.asarray(values).astype(numpy.uint64)[acting]

    def step(self, name, operands, acting):
        known = getattr(self, f"do_{name[0]}", None)
        if known:
            return known(name, operands, acting)
        work = self.of_floats if name[-1] == "f32" else self.of_whole
        return self.put(operands[0], work(name, [self.value(operand) for operand in operands[1:]]), acting)

    # Memory.

    def bytes_at(self, space, address, count, write):
        if address % count:
            raise Fault(f"an access of {count} bytes begins at {address:#x}")
        if space == "shared":
            buffers = [(0, self.shared, True)]
        else:
            buffers = self.memory
        for start, buffer, writable in buffers:
            if start <= address and address + count <= start + len(buffer) and (writable or not write):
                return buffer[address - start:address - start + count]
        raise Fault(f"an access of {count} bytes at {address:#x} of {space} memory is outside")

    def places(self, operand, acting):
        base, _, offset = operand.strip("[]").partition("+")
        return [(thread, int(self.value(base)[thread]) + int(offset or "0")) for thread in numpy.nonzero(acting)[0]]

    def do_ld(self, name, operands, acting):
        if name[1] == "param":
            return self.put(operands[0], self.same(self.parameters[operands[1].strip("[]")]), acting)
        registers, size = operands[0].strip("{}").split(","), BYTES[name[-1]]
        for thread, place in self.places(operands[1], acting):
            found = self.bytes_at(name[1], place, size * len(registers), False)
            for register, part in zip(registers, found.reshape(-1, size)):
                self.value(register.strip())[thread] = int.from_bytes(part.tobytes(), "little")
        return None

    def do_st(self, name, operands, acting):
        registers, size = operands[1].strip("{}").split(","), BYTES[name[-1]]
        for thread, place in self.places(operands[0], acting):
            to = self.bytes_at(name[1], place, size * len(registers), True).reshape(-1, size)
            for register, part in zip(registers, to):
                value = int(self.value(register.strip())[thread]) & (1 << 8 * size) - 1
                part[:] = numpy.frombuffer(value.to_bytes(size, "little"), numpy.uint8)

    def do_cp(self, name, operands, acting):
        """Copies that nobody waits for: what lay there is gone at once, what comes is there when its thread waits."""
        if name == ["cp", "async", "wait_all"]:
            for thread in numpy.nonzero(acting)[0]:
                for to, bytes_sent in self.sent[thread]:
                    to[:] = bytes_sent
                self.sent[thread].clear()
            return
        if name != ["cp", "async", "cg", "shared", "global"] or operands[2] != "16":
            raise Fault(f"the copy {'.'.join(name)}")
        sizes = self.value(operands[3])
        froms = dict(self.places(operands[1], acting))
        for thread, place in self.places(operands[0], acting):
            to, size = self.bytes_at("shared", place, 16, True), int(sizes[thread])
            to[:] = 0xFF
            if size not in (0, 16):
                raise Fault(f"a copy of {size} of 16 bytes")
            found = self.bytes_at("global", froms[thread], 16, False) if size else numpy.zeros(16, numpy.uint8)
            self.sent[thread].append((to, found.copy()))

    # Whole warps.

    def do_ldmatrix(self, name, operands, acting):
        if name[1:5] != ["sync", "aligned", "m8n8", "x4"] or name[-2:] != ["shared", "b16"]:
            raise Fault(f"the load {'.'.join(name)}")
        turned, lane = "trans" in name, numpy.arange(32)
        registers = [register.strip() for register in operands[0].strip("{}").split(",")]
        places = dict(self.places(operands[1], acting))
        for warp in self.warps(acting, "a load of matrices"):
            for number, register in enumerate(registers):
                rows = [self.bytes_at("shared", places[warp.start + 8 * number + row], 16, False) for row in range(8)]
                matrix = numpy.stack(rows).view(numpy.uint16).astype(numpy.uint64)
                matrix = matrix.T if turned else matrix
                low, high = matrix[lane // 4, lane % 4 * 2], matrix[lane // 4, lane % 4 * 2 + 1]
                self.value(register)[warp] = low | high << numpy.uint64(16)

    def warps(self, acting, what):
        for first in range(0, self.threads, 32):
            warp = slice(first, first + 32)
            if acting[warp].any():
                if not acting[warp].all():
                    raise Fault(f"lanes are missing at {what}")
                yield warp

    def do_shfl(self, name, operands, acting):
        to, (value, distance, clamp, mask) = operands[0].split("|")[0], map(self.value, operands[1:])
        if name[2] != "bfly" or set(clamp[acting]) != {31} or set(mask[acting] & WORD) != {WORD}:
            raise Fault("an exchange that is not over a whole warp")
        brought = value.copy()
        for warp in self.warps(acting, "an exchange"):
            brought[warp] = value[warp][numpy.arange(32) ^ int(distance[warp][0])]
        self.put(to, brought, acting)

    def do_mma(self, name, operands, acting):
        if name[3:] != ["m16n8k16", "row", "col", "f32", "bf16", "bf16", "f32"]:
            raise Fault(f"the product {'.'.join(name)}")
        results, of_a, of_b, of_c = ([part.strip() for part in operand.strip("{}").split(",")] for operand in operands)
        lane = numpy.arange(32)
        group, within = lane >> 2, lane % 4
        for warp in self.warps(acting, "a product"):
            half = lambda words, i: of_brain(self.value(words[i // 2])[warp] >> numpy.uint64(16 * (i % 2)) & numpy.uint64(0xFFFF))
            a, b, c = numpy.zeros((16, 16)), numpy.zeros((16, 8)), numpy.zeros((16, 8))
            for i in range(8):
                a[group if i < 2 or 4 <= i < 6 else group + 8, within * 2 + (i & 1) + (8 if i >= 4 else 0)] = half(of_a, i)
            for i in range(4):
                b[within * 2 + (i & 1) + (8 if i >= 2 else 0), group] = half(of_b, i)
                c[group if i < 2 else group + 8, within * 2 + (i & 1)] = floats(self.value(of_c[i])[warp])
            d = (c + a @ b).astype("f4")
            for i in range(4):
                self.value(results[i])[warp] = bits(d[group if i < 2 else group + 8, within * 2 + (i & 1)])

    # Lanes by themselves.

    def do_mov(self, name, operands, acting):
        sixteen = numpy.uint64(16)
        if operands[0].startswith("{"):
            value = self.value(operands[1])
            for place, register in enumerate(operands[0].strip("{}").split(",")):
                self.put(register.strip(), value >> numpy.uint64(16 * place) & numpy.uint64(0xFFFF), acting)
        elif operands[1].startswith("{"):
            low, high = (self.value(register.strip()) for register in operands[1].strip("{}").split(","))
            self.put(operands[0], low | high << sixteen, acting)
        else:
            self.put(operands[0], self.value(operands[1]), acting)

    def do_cvta(self, name, operands, acting):
        self.put(operands[0], self.value(operands[1]), acting)

    def do_selp(self, name, operands, acting):
        one, other, choice = map(self.value, operands[1:])
        self.put(operands[0], numpy.where(choice.astype(bool), one, other), acting)

    def do_setp(self, name, operands, acting):
        a, b = (self.value(operand) for operand in operands[1:3])
        kind, unordered = name[1], False
        if name[-1] == "f32":
            a, b = flushed(floats(a)), flushed(floats(b))
            if kind not in COMPARE:
                kind, unordered = kind[:-1], numpy.isnan(a) | numpy.isnan(b)
        else:
            a, b = self.signed(name, a), self.signed(name, b)
        self.put(operands[0], getattr(numpy, COMPARE[kind])(a, b) | unordered, acting)

    def do_cvt(self, name, operands, acting):
        values = [self.value(operand) for operand in operands[1:]]
        kinds = {
            "rn.bf16x2.f32": lambda upper, lower: brain(upper) << numpy.uint64(16) | brain(lower),
            "ftz.sat.f32.f32": lambda x: bits(numpy.nan_to_num(numpy.clip(flushed(floats(x)), 0, 1))),
            "rn.f32.s32": lambda x: bits(x.astype(numpy.uint32).view(numpy.int32).astype("f4")),
            "u64.u32": lambda x: x & WORD, "u32.u64": lambda x: x & WORD, "u16.u32": lambda x: x & numpy.uint64(0xFFFF),
        }
        if ".".join(name[1:]) not in kinds:
            raise Fault(f"the conversion {'.'.join(name)}")
        self.put(operands[0], kinds[".".join(name[1:])](*values), acting)

    @staticmethod
    def signed(name, value):
        if name[-1] == "s32":
            return value.astype(numpy.uint32).view(numpy.int32).astype("i8")
        return value.view("i8") if name[-1] == "s64" else value & (WORD if name[-1].endswith("32") else LONG)

    @staticmethod
    def of_floats(name, values):
        x = [flushed(floats(value)) for value in values]
        kinds = {"add": lambda: x[0] + x[1], "sub": lambda: x[0] - x[1], "mul": lambda: x[0] * x[1], "div": lambda: x[0] / x[1],
                 "neg": lambda: -x[0], "rcp": lambda: numpy.float32(1) / x[0], "max": lambda: numpy.fmax(x[0], x[1]), "fma": lambda: fused(*x, name[1] == "rm"),
                 "ex2": lambda: numpy.exp2(x[0].astype("f8")), "lg2": lambda: numpy.log2(x[0].astype("f8"))}
        if name[0] not in kinds or "ftz" not in name:
            raise Fault(f"the instruction {'.'.join(name)}")
        return bits(flushed(kinds[name[0]]()))

    def of_whole(self, name, x):
        whole = WORD if name[-1].endswith("32") else LONG
        shift = lambda: x[1] & WORD
        kinds = {"add": lambda: x[0] + x[1], "sub": lambda: x[0] - x[1], "and": lambda: x[0] & x[1], "or": lambda: x[0] | x[1],
                 "xor": lambda: x[0] ^ x[1], "mad": lambda: x[0] * x[1] + x[2], "shl": lambda: x[0] << shift(),
                 "shr": lambda: self.signed(name, x[0]).view(numpy.uint64) >> shift() if name[-1][0] != "s" else
                 (self.signed(name, x[0]) >> shift().astype("i8")).view(numpy.uint64),
                 "div": lambda: (x[0] & whole) // numpy.maximum(x[1] & whole, 1),
                 "rem": lambda: (x[0] & whole) % numpy.maximum(x[1] & whole, 1), "mul": lambda: x[0] * x[1],
                 "prmt": lambda: permuted(*x), "bfi": lambda: inserted(*x),
                 "not": lambda: x[0] ^ (numpy.uint64(1) if name[-1] == "pred" else LONG)}
        if name[0] not in kinds:
            raise Fault(f"the instruction {'.'.join(name)}")
        if name[0] in ("mul", "mad") and name[1] == "wide":
            if name[-1] != "u32":
                raise Fault("a wide product of signed numbers")
            return (x[0] & WORD) * (x[1] & WORD) + (x[2] if name[0] == "mad" else numpy.uint64(0))
        return kinds[name[0]]() & whole


def permuted(a, b, choice):
    """Bytes of two words by four numbers of them."""
    both, result = (a & WORD) | b << numpy.uint64(32), numpy.zeros_like(a)
    for place in range(4):
        number = choice >> numpy.uint64(4 * place) & numpy.uint64(7)
        result |= (both >> number * numpy.uint64(8) & numpy.uint64(0xFF)) << numpy.uint64(8 * place)
    return result


def inserted(a, b, place, length):
    mask = ((numpy.uint64(1) << length) - numpy.uint64(1)) << place
    return (b & ~mask) | (a << place & mask)
