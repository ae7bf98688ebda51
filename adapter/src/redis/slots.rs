//! Which master of a Redis Cluster has what: the slot of a name, and what the masters say of themselves and of each other.
//! Pure.
//!
//! Masters disagree while something moves. Each has a number, its config epoch, which rises with whatever it wins: of two
//! that are said to have a slot, the higher one has it.

use std::collections::HashMap;

/// Slots of a Cluster.
pub(super) const SLOTS: usize = 16_384;

/// The slot of a key or a channel: of what stands between its first `{` and the next `}`, if anything does, or of all of it.
pub(super) fn slot(name: &str) -> u16 {
    let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
    crc16(hashed.as_bytes()) % SLOTS as u16
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut value, mut bit) = ((index as u16) << 8, 0);
            while bit < 8 {
                value = if value & 0x8000 == 0 { value << 1 } else { (value << 1) ^ 0x1021 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

/// Where a server is: host and port.
pub(super) type Address = (String, u16);

/// A master, as one server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    pub(super) address: Address,
    /// Its other name, if it has one.
    pub(super) hostname: Option<String>,
    /// Most masters do not reach it.
    pub(super) failed: bool,
    epoch: u64,
    /// First and last ones.
    slots: Vec<(u16, u16)>,
}

/// What a Cluster looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// Masters that have slots, or could get some.
    pub(super) masters: Vec<Master>,
    /// First slot, last slot, and which master has them. In order; slots that nobody has are in none.
    pub(super) owners: Vec<(u16, u16, usize)>,
}

/// Reads what `CLUSTER NODES` answers. `asked` is the host that was asked: one that nobody has told its address yet leaves
/// it out. With `by_name`, hosts go by their names where they have one: certificates are for names.
pub(super) fn masters(answer: &str, asked: &str, by_name: bool) -> Vec<Master> {
    answer.lines().filter_map(|line| master(line, asked, by_name)).collect()
}

/// `<id> <ip>:<port>@<bus>[,<hostname>…] <flags> <master> <ping> <pong> <epoch> <link> <slot> <slot>-<slot> [<moving>]`
fn master(line: &str, asked: &str, by_name: bool) -> Option<Master> {
    let mut words = line.split(' ').skip(1);
    let (place, flags) = (words.next()?, words.next()?);
    let flag = |name: &str| flags.split(',').any(|flag| flag == name);
    if !flag("master") || flag("noaddr") || flag("handshake") {
        return None;
    }
    let epoch = words.nth(3)?.parse().ok()?;
    let (place, names) = place.split_once(',').unwrap_or((place, ""));
    let place = place.split_once('@').map_or(place, |(place, _)| place);
    let (ip, port) = place.rsplit_once(':')?;
    let ip = if ip.is_empty() { asked } else { ip };
    let hostname = names.split(',').next().filter(|name| !name.is_empty() && !name.contains('='));
    let range = |word: &str| match word.split_once('-') {
        _ if word.starts_with('[') => None,
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => Some((number(word)?, number(word)?)),
    };
    let host = hostname.filter(|_| by_name).unwrap_or(ip);
    Some(Master {
        address: (host.to_owned(), port.parse().ok()?),
        hostname: hostname.map(str::to_owned),
        failed: flag("fail"),
        epoch,
        slots: words.skip(1).filter_map(range).filter(|(first, last)| first <= last).collect(),
    })
}

fn number(word: &str) -> Option<u16> {
    word.parse().ok().filter(|slot| usize::from(*slot) < SLOTS)
}

/// Puts together what several servers see.
pub(super) fn layout(views: &[Vec<Master>]) -> Layout {
    let mut masters: Vec<Master> = Vec::new();
    let mut place = HashMap::<&Address, usize>::new();
    let mut owners: Vec<Option<(u64, usize)>> = vec![None; SLOTS];
    for seen in views.iter().flatten() {
        let index = *place.entry(&seen.address).or_insert_with(|| {
            masters.push(Master { slots: Vec::new(), ..seen.clone() });
            masters.len() - 1
        });
        if let Some(master) = masters.get_mut(index) {
            master.epoch = master.epoch.max(seen.epoch);
            master.failed |= seen.failed;
        }
        for (first, last) in &seen.slots {
            for owner in owners.iter_mut().take(usize::from(*last) + 1).skip(usize::from(*first)) {
                if owner.is_none_or(|(epoch, _)| epoch < seen.epoch) {
                    *owner = Some((seen.epoch, index));
                }
            }
        }
    }
    let mut layout = Layout { masters, owners: Vec::new() };
    for (slot, owner) in owners.into_iter().enumerate() {
        let (Some((_, owner)), Ok(slot)) = (owner, u16::try_from(slot)) else { continue };
        match layout.owners.last_mut() {
            Some((_, last, known)) if *known == owner && *last + 1 == slot => *last = slot,
            _ => layout.owners.push((slot, slot, owner)),
        }
    }
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_redis_does() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // As CLUSTER KEYSLOT answers.
        for (name, expected) in [("foo", 12_182), ("{foo}bar", 12_182), ("a{foo}b{bar}", 12_182), ("", 0)] {
            assert_eq!(slot(name), expected, "{name}");
        }
        assert_eq!(slot("{}foo"), crc16(b"{}foo") % 16_384);
        assert_eq!(slot("{foo"), crc16(b"{foo") % 16_384);
        assert_eq!(slot("haat:{socket.io#/#stream:spring#}:meta"), slot("socket.io#/#stream:spring#"));
    }

    fn address(host: &str, port: u16) -> Address {
        (host.to_owned(), port)
    }

    #[test]
    fn reads_what_a_server_sees() {
        let answer = "\
            a 10.0.0.1:7001@17001 myself,master - 0 0 1 connected 0-5460 7000\n\
            b 10.0.0.2:7002@17002,redis-b,shard-id=x master,fail - 1 2 5 disconnected 5461-6999 [93->-c]\n\
            c 10.0.0.3:7003@17003 slave a 0 1 1 connected\n\
            d :7004@17004,,shard-id=y master - 0 1 0 connected\n\
            e ::1:7005@17005 master,noaddr - 0 1 0 connected 3\n\
            nonsense\n";
        let seen = masters(answer, "asked", false);
        let addresses: Vec<_> = seen.iter().map(|master| master.address.clone()).collect();
        assert_eq!(addresses, [address("10.0.0.1", 7001), address("10.0.0.2", 7002), address("asked", 7004)]);
        assert_eq!(seen[0].slots, [(0, 5460), (7000, 7000)]);
        assert_eq!((seen[1].failed, seen[1].epoch, seen[1].slots.as_slice()), (true, 5, [(5461, 6999)].as_slice()));
        assert_eq!(masters(answer, "asked", true)[1].address, address("redis-b", 7002));
        assert_eq!((seen[2].hostname.as_deref(), seen[2].slots.len()), (None, 0));
    }

    #[test]
    fn believes_whoever_has_the_higher_number() {
        let before = "a h:1@1 master - 0 0 1 connected 0-99\nb h:2@2 master - 0 0 2 connected 100-199\n";
        let after = "a h:1@1 master - 0 0 1 connected 0-49\nb h:2@2 master - 0 0 3 connected 50-199\n";
        for views in [[before, after], [after, before]] {
            let views = views.map(|view| masters(view, "", false));
            let Layout { masters, owners } = layout(&views);
            assert_eq!(masters.len(), 2);
            assert_eq!(owners, [(0, 49, 0), (50, 199, 1)]);
        }
        assert_eq!(layout(&[]), Layout::default());
    }

    #[test]
    fn knows_slots_that_nobody_has() {
        let view = masters("a h:1@1 master - 0 0 1 connected 5 7-16383 16384 9-8\n", "", false);
        assert_eq!(layout(&[view]).owners, [(5, 5, 0), (7, 16_383, 0)]);
    }
}
