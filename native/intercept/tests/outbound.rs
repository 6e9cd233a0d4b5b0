//! What a captured pod's applications see when they connect.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Application, Engine, Rig, call, counter, python, skipped};

/// An address outside of every scratch network.
const FAR_V4: &str = "203.0.113.7";
const FAR_V6: &str = "2001:db8:77::7";

fn heard(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

macro_rules! captured_pod {
    ($rig:ident, $pod:ident, $interception:ident) => {
        if skipped() {
            return;
        }
        let mut $rig = Rig::new();
        let $pod = $rig.pod(2);
        let ($interception, _tampering) = $rig.open();
        let captured = $interception.enrol(&$pod.network).unwrap();
        let _engine = Engine::start(captured, "");
    };
}

#[test]
fn ipv4_arrives_with_its_original_destination() {
    captured_pod!(rig, pod, interception);
    let text = call(&pod.name, FAR_V4.parse().unwrap(), 80);
    let words = heard(&text);
    assert_eq!((words[0], words[2]), ("outbound", "203.0.113.7:80"));
    assert!(words[1].starts_with("10.9.0.2:"), "{words:?}");
    assert_eq!(counter(&interception, "captured"), 1);
    assert_eq!(counter(&interception, "lookup_outbound"), 1);
}

#[test]
fn ipv6_arrives_with_its_original_destination() {
    captured_pod!(rig, pod, interception);
    let text = call(&pod.name, FAR_V6.parse().unwrap(), 80);
    let words = heard(&text);
    assert_eq!((words[0], words[2]), ("outbound", "[2001:db8:77::7]:80"));
    assert!(words[1].starts_with("[fd09::2]:"), "{words:?}");
    drop(interception);
}

#[test]
fn v4_mapped_ipv6_is_captured() {
    captured_pod!(rig, pod, interception);
    let text = python(
        &pod.name,
        "s=socket(AF_INET6)\ns.connect(('::ffff:203.0.113.7',80))\nsay(s)",
    );
    assert_eq!(heard(&text)[2], "203.0.113.7:80");
    drop(interception);
}

#[test]
fn names_of_both_ends_are_as_without_a_mesh() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=create_connection(('{FAR_V4}',443))\nprint(s.getpeername()[0],s.getpeername()[1],s.getsockname()[0])"
    );
    assert_eq!(python(&pod.name, &script), "203.0.113.7 443 10.9.0.2");
    drop(interception);
}

#[test]
fn non_blocking_connect_is_captured() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "import select\ns=socket()\ns.setblocking(False)\nassert s.connect_ex(('{FAR_V4}',80))==errno.EINPROGRESS\n\
         select.select([],[s],[],5)\nassert s.getsockopt(SOL_SOCKET,SO_ERROR)==0\ns.setblocking(True)\nsay(s)"
    );
    let text = python(&pod.name, &script);
    assert_eq!(heard(&text)[0], "outbound", "{text}");
    drop(interception);
}

#[test]
fn tcp_fast_open_is_captured() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=socket()\ns.settimeout(None)\ns.sendto(b'hi',MSG_FASTOPEN,('{FAR_V4}',80))\nsay(s)"
    );
    let text = python(&pod.name, &script);
    assert_eq!(heard(&text)[0], "outbound", "{text}");
    assert_eq!(counter(&interception, "captured"), 1);
}

#[test]
fn tcp_fast_open_connect_is_captured() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=socket()\ns.settimeout(None)\ns.setsockopt(IPPROTO_TCP,30,1)\ns.connect(('{FAR_V4}',80))\ns.send(b'hi')\nsay(s)"
    );
    let text = python(&pod.name, &script);
    assert_eq!(heard(&text)[0], "outbound", "{text}");
    drop(interception);
}

#[test]
fn multipath_tcp_is_captured() {
    captured_pod!(rig, pod, interception);
    let script = format!("s=socket(AF_INET,SOCK_STREAM,262)\ns.connect(('{FAR_V4}',80))\nsay(s)");
    assert_eq!(heard(&python(&pod.name, &script))[2], "203.0.113.7:80");
    assert_eq!(counter(&interception, "captured"), 1);
}

#[test]
fn a_device_binding_does_not_escape() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=socket()\ns.setsockopt(SOL_SOCKET,SO_BINDTODEVICE,b'eth0')\ns.connect(('{FAR_V4}',80))\nsay(s)"
    );
    let text = python(&pod.name, &script);
    assert_eq!(heard(&text)[0], "outbound", "{text}");
    drop(interception);
}

#[test]
fn an_applications_own_mark_survives() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=socket()\ns.setsockopt(SOL_SOCKET,36,0x42)\ns.connect(('{FAR_V4}',80))\nprint(hex(s.getsockopt(SOL_SOCKET,36)))"
    );
    assert_eq!(python(&pod.name, &script), "0x8000042");
    drop(interception);
}

#[test]
fn one_source_port_reaches_two_destinations() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "for d in ('{FAR_V4}','203.0.113.8'):\n  s=socket()\n  s.setsockopt(SOL_SOCKET,SO_REUSEADDR,1)\n  s.bind(('',4444))\n  s.connect((d,80))\n  globals()[d]=s\n  say(s)"
    );
    let text = python(&pod.name, &script);
    assert_eq!(
        text,
        "outbound 10.9.0.2:4444 203.0.113.7:80\noutbound 10.9.0.2:4444 203.0.113.8:80"
    );
    drop(interception);
}

#[test]
fn a_port_that_was_connected_to_can_be_listened_on() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=create_connection(('{FAR_V4}',8080))\nsay(s)\nl=socket(AF_INET6)\nl.setsockopt(SOL_SOCKET,SO_REUSEADDR,1)\n\
         l.bind(('::',8080))\nl.listen()\nprint('listens')"
    );
    let text = python(&pod.name, &script);
    assert!(text.ends_with("listens"), "{text}");
    drop(interception);
}

#[test]
fn a_socket_dissolved_by_af_unspec_is_judged_anew() {
    captured_pod!(rig, pod, interception);
    let application = Application::start(&pod.netns, "0.0.0.0:0", "application");
    let script = format!(
        "import ctypes\ns=socket()\ns.connect(('{FAR_V4}',80))\nsay(s)\nctypes.CDLL(None).connect(s.fileno(),bytes(16),16)\n\
         s.connect(('127.0.0.1',{}))\nprint(hex(s.getsockopt(SOL_SOCKET,36)))\nsay(s)",
        application.port
    );
    let text = python(&pod.name, &script);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("outbound"), "{text}");
    assert_eq!(lines[1], "0x0");
    assert!(lines[2].starts_with("application 127.0.0.1"), "{text}");
    drop(interception);
}

#[test]
fn the_pod_reaches_itself_directly() {
    captured_pod!(rig, pod, interception);
    let application = Application::start(&pod.netns, "[::]:0", "application");
    let (four, six) = (
        call(&pod.name, pod.v4, application.port),
        call(&pod.name, pod.v6, application.port),
    );
    assert!(four.starts_with("application 10.9.0.2:"), "{four}");
    assert!(six.starts_with("application [fd09::2]:"), "{six}");
    assert_eq!(counter(&interception, "connect_own"), 2);
}

#[test]
fn connected_udp_is_left_alone() {
    captured_pod!(rig, pod, interception);
    let script = format!(
        "s=socket(AF_INET,SOCK_DGRAM)\ns.connect(('{FAR_V4}',53))\nprint(s.getsockopt(SOL_SOCKET,36))"
    );
    assert_eq!(python(&pod.name, &script), "0");
    assert_eq!(counter(&interception, "captured"), 0);
}

#[test]
fn syn_cookies_choose_the_same_listener_twice() {
    captured_pod!(rig, pod, interception);
    support::run(&format!(
        "ip netns exec {} sysctl -qw net.ipv4.tcp_syncookies=2",
        pod.name
    ));
    let script = format!("for n in range(50):\n  say(create_connection(('{FAR_V4}',1000+n)))");
    let text = python(&pod.name, &script);
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("outbound"))
            .count(),
        50,
        "{text}"
    );
    drop(interception);
}

#[test]
fn the_engines_own_sockets_are_exempt() {
    captured_pod!(rig, pod, interception);
    let other = rig.pod(3);
    let application = Application::start(&other.netns, "0.0.0.0:0", "far");
    let socket = ambit_intercept::sockets::stream_socket(&pod.netns, other.v4).unwrap();
    let stream = std::net::TcpStream::from(socket);
    stream.set_nonblocking(false).unwrap();
    ambit_intercept::sockets::connect(&stream, (other.v4, application.port).into()).unwrap();
    assert!(support::line(&stream).starts_with("far 10.9.0.2:"));
    assert_eq!(counter(&interception, "connect_engine"), 1);
}

#[test]
fn pods_outside_the_mesh_are_untouched() {
    captured_pod!(rig, pod, interception);
    let (outside, other) = (rig.pod(3), rig.pod(4));
    let application = Application::start(&other.netns, "0.0.0.0:0", "far");
    assert!(call(&outside.name, other.v4, application.port).starts_with("far 10.9.0.3:"));
    assert_eq!(counter(&interception, "captured"), 0);
    drop(pod);
}

#[test]
fn a_pod_with_no_listener_is_refused() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    drop(interception.enrol(&pod.network).unwrap());
    // The process still serves, so the hook lets the SYN go; IPv4 answers none for a foreign address by RST.
    let script = format!("setdefaulttimeout(0.5)\ncreate_connection(('{FAR_V4}',80))");
    assert_eq!(python(&pod.name, &script), "error: timed out");
    assert_eq!(
        call(&pod.name, FAR_V6.parse().unwrap(), 80),
        "error: ECONNREFUSED"
    );
    assert_eq!(counter(&interception, "dropped_no_listener"), 2);
}

#[test]
fn a_pod_is_refused_at_once_when_no_engine_serves() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let pod = rig.pod(2);
    let (interception, _tampering) = rig.open();
    let captured = interception.enrol(&pod.network).unwrap();
    interception.retire();
    for destination in [FAR_V4, FAR_V6] {
        let refused = call(&pod.name, destination.parse().unwrap(), 80);
        assert_eq!(refused, "error: ECONNREFUSED");
    }
    assert_eq!(counter(&interception, "refused_closed"), 2);
    drop(captured);
}

#[test]
fn io_uring_connect_is_captured() {
    captured_pod!(rig, pod, interception);
    // Raw ring by ctypes: one IORING_OP_CONNECT (16), waited for in the same io_uring_enter.
    let script = format!(
        "import ctypes,mmap,struct\nc=ctypes.CDLL(None,use_errno=True)\nparameters=ctypes.create_string_buffer(120)\n\
         ring=c.syscall(425,4,parameters)\nassert ring>=0,ctypes.get_errno()\nw=struct.unpack('30I',parameters.raw)\n\
         entries=w[1]\nsq=w[10:18]\ncq=w[20:28]\nsize=max(sq[6]+4*w[0],cq[5]+16*entries)\n\
         r=mmap.mmap(ring,size,mmap.MAP_SHARED,offset=0)\nq=mmap.mmap(ring,64*w[0],mmap.MAP_SHARED,offset=0x10000000)\n\
         s=socket()\ns.settimeout(None)\na=ctypes.create_string_buffer(struct.pack('=H',2)+struct.pack('!H',80)+inet_aton('{FAR_V4}')+bytes(8),16)\n\
         q[0:64]=struct.pack('=BBHiQQI',16,0,0,s.fileno(),16,ctypes.addressof(a),0).ljust(64,b'\\0')\n\
         r[sq[6]:sq[6]+4]=struct.pack('I',0)\nr[sq[1]:sq[1]+4]=struct.pack('I',1)\n\
         assert c.syscall(426,ring,1,1,1,0,0)==1\nassert struct.unpack('i',r[cq[5]+8:cq[5]+12])[0]==0\nsay(s)"
    );
    let text = python(&pod.name, &script);
    assert_eq!(heard(&text)[2], "203.0.113.7:80", "{text}");
    assert_eq!(counter(&interception, "captured"), 1);
}

#[test]
fn connections_open_before_enrolment_stay_as_they_were() {
    if skipped() {
        return;
    }
    let mut rig = Rig::new();
    let (pod, other) = (rig.pod(2), rig.pod(3));
    let outgoing = listener(&other);
    let stream = pod
        .netns
        .enter(|| std::net::TcpStream::connect(outgoing.local_addr().unwrap()))
        .unwrap()
        .unwrap();
    let (mut far_end, _) = outgoing.accept().unwrap();
    let (interception, _tampering) = rig.open();
    let _engine = Engine::start(interception.enrol(&pod.network).unwrap(), "");
    std::io::Write::write_all(&mut far_end, b"still here\n").unwrap();
    drop(far_end);
    assert_eq!(support::line(&stream), "still here");
    drop(interception);
}

fn listener(pod: &support::ScratchPod) -> std::net::TcpListener {
    pod.netns
        .enter(|| std::net::TcpListener::bind((pod.v4, 0)))
        .unwrap()
        .unwrap()
}
