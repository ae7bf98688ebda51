//! How many different users there were: exact while they are few, then a HyperLogLog. It never knows who they were.
//!
//! The estimate is Otmar Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches", 2017): it needs no tables, and
//! only the number of registers that hold each value, which is kept along, so that reading it costs the same for any crowd.

/// Hash bits that choose a register: 16,384 registers, a standard error of 0.8%.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// The bits that are left count leading zeros; a register's largest value is one more.
const RANK_BITS: u32 = 64 - INDEX_BITS;
const LARGEST_RANK: usize = RANK_BITS as usize + 1;

/// Up to this many hashes are kept as they are: 4 KiB at most, where the registers take 16 KiB.
const EXACT: usize = 512;

/// A count of different hashes.
#[derive(Debug)]
pub(super) enum Unique {
    /// All hashes, sorted.
    Exact(Vec<u64>),
    /// See [`Registers`].
    Estimate(Box<Registers>),
}

impl Default for Unique {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Unique {
    /// Counts a user by the hash of the name. The hash must be a good one, in all 64 bits.
    pub(super) fn add(&mut self, hash: u64) {
        match self {
            Self::Estimate(registers) => registers.add(hash),
            Self::Exact(hashes) => {
                let Err(index) = hashes.binary_search(&hash) else { return };
                if hashes.len() < EXACT {
                    hashes.insert(index, hash);
                    return;
                }
                let mut registers = Box::new(Registers::new());
                hashes.iter().chain([&hash]).for_each(|hash| registers.add(*hash));
                *self = Self::Estimate(registers);
            }
        }
    }

    /// How many different ones there were.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Exact(hashes) => hashes.len() as u64,
            Self::Estimate(registers) => registers.estimate(),
        }
    }
}

/// For each of many groups of hashes, the longest run of leading zeros seen.
#[derive(Debug)]
pub(super) struct Registers {
    ranks: Box<[u8]>,
    /// How many registers hold 0, 1, …
    holding: [u16; LARGEST_RANK + 1],
}

impl Registers {
    fn new() -> Self {
        let mut holding = [0; LARGEST_RANK + 1];
        holding[0] = REGISTERS as u16;
        Self { ranks: vec![0; REGISTERS].into(), holding }
    }

    fn add(&mut self, hash: u64) {
        let index = (hash >> RANK_BITS) as usize;
        // The bit below the counted ones stops the count at the largest rank.
        let rest = (hash << INDEX_BITS) | (1 << (INDEX_BITS - 1));
        let rank = rest.leading_zeros() as u8 + 1;
        let held = &mut self.ranks[index];
        if rank > *held {
            self.holding[usize::from(*held)] -= 1;
            self.holding[usize::from(rank)] += 1;
            *held = rank;
        }
    }

    fn estimate(&self) -> u64 {
        let registers = REGISTERS as f64;
        let share = |rank: usize| f64::from(self.holding[rank]) / registers;
        let mut z = registers * tau(1.0 - share(LARGEST_RANK));
        for rank in (1..LARGEST_RANK).rev() {
            z = 0.5 * (z + f64::from(self.holding[rank]));
        }
        z += registers * sigma(share(0));
        (registers * registers / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }
}

/// What the registers that are still empty add. `x` is below 1, since there are entries.
fn sigma(mut x: f64) -> f64 {
    let (mut power, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        if sum == before || !sum.is_finite() {
            return sum;
        }
    }
}

/// What the registers that are full add.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut power, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        power *= 0.5;
        sum -= (1.0 - x).powi(2) * power;
        if sum == before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bijection that scatters: different inputs give different hashes, the same ones on every run.
    fn scatter(user: u64) -> u64 {
        let mut x = user.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn counted(users: std::ops::Range<u64>) -> Unique {
        let mut unique = Unique::default();
        users.for_each(|user| unique.add(scatter(user)));
        unique
    }

    #[test]
    fn counts_few_users_exactly() {
        let mut unique = counted(0..EXACT as u64);
        (0..EXACT as u64).for_each(|user| unique.add(scatter(user)));
        assert_eq!(unique.count(), EXACT as u64);
    }

    #[test]
    fn estimates_many_users_without_bias_and_within_a_percent_as_a_rule() {
        const CROWDS: u64 = 50;
        for users in [513, 2_000, 20_000, 100_000] {
            let errors = (0..CROWDS).map(|crowd| {
                let first = crowd << 32;
                counted(first..first + users).count() as f64 / users as f64 - 1.0
            });
            let errors: Vec<f64> = errors.collect();
            let bias = errors.iter().sum::<f64>() / CROWDS as f64;
            let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / CROWDS as f64).sqrt();
            let worst = errors.iter().fold(0.0, |worst: f64, error| worst.max(error.abs()));
            assert!(bias.abs() < 0.003, "{users} users: bias {bias}");
            assert!(deviation < 0.01, "{users} users: standard deviation {deviation}");
            assert!(worst < 0.03, "{users} users: worst of {CROWDS} is {worst}");
        }
    }

    #[test]
    fn does_not_count_a_user_twice() {
        let mut unique = counted(0..10_000);
        let before = unique.count();
        (0..10_000).for_each(|user| unique.add(scatter(user)));
        assert_eq!(unique.count(), before);
    }

    #[test]
    fn takes_hashes_of_only_zeros_and_only_ones() {
        let mut unique = counted(0..1_000);
        unique.add(0);
        unique.add(u64::MAX);
        assert!(unique.count() > 900);
    }
}
